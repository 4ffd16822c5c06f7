package import Logging
import ServiceLifecycle

import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
package import WeirHTTP
package import WeirServer

/// The admin port: `/health`, `/ready` and `/metrics`. It is read-only and refuses cross-origin pages.
package struct AdminServer: Service {
    private let server: WeirServer.Server
    private let address: SocketText
    private let hosts: [String]
    private let logger: Logger
    private let onListening: @Sendable (_ port: Int) -> Void

    /// - Parameters:
    ///   - address: the address to listen on.
    ///   - hosts: further names by which it may be addressed, in lower case.
    ///   - onListening: called with the port once connections are accepted.
    package init(
        server: WeirServer.Server, address: SocketText, hosts: [String] = [], logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) -> Void = { _ in }
    ) {
        self.server = server
        self.address = address
        self.hosts = hosts
        self.logger = logger
        self.onListening = onListening
    }

    package func run() async throws {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.add(middleware: SameOriginMiddleware(hosts: ["localhost", address.host.lowercased()] + hosts))
        let server = server
        router.get("health") { _, _ in "ok\n" }
        router.get("ready") { _, _ -> Response in
            let isReady = server.isReady
            return Response(
                status: isReady ? .ok : .serviceUnavailable,
                headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: isReady ? "ready\n" : "not ready\n")))
        }
        router.get("metrics") { _, _ -> Response in
            let text = await server.metrics()
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
        let listening = onListening
        var quiet = logger
        // It throws the errors that it can't go on with, and at the end it would log that it was cancelled.
        quiet.logLevel = .critical
        let app = Application(
            router: router,
            server: .http1(configuration: HTTP1Channel.Configuration(idleTimeout: .seconds(30))),
            configuration: ApplicationConfiguration(address: .hostname(address.host, port: address.port)),
            onServerRunning: { channel in listening(channel.localAddress?.port ?? 0) },
            logger: quiet)
        do {
            try await app.run()
        } catch let error as IOError {
            throw StartError(cannotListenOn: "the admin address \(address.host):\(address.port)", error)
        }
    }
}
