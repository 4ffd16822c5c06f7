import Foundation
import Hummingbird
import HummingbirdRouter
import Logging
import ServiceLifecycle
import TestSupport
import Weir
import WeirGateway
import WeirHTTP
import WeirHummingbird
import WeirTesting

let quiet: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}()

/// A server of this process while `body` runs. It gets the port.
func withServer<Responder: HTTPResponder>(
    _ responder: Responder, _ body: (Int) async throws -> Void
) async throws where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    let app = Application(
        responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { continuation.yield($0.localAddress?.port ?? 0) }, logger: quiet)
    let group = ServiceGroup(services: [app], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = await iterator.next() ?? 0
        try await body(port)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}

/// A gateway of this process before an upstream, while `body` runs. It gets the port.
func withGateway(_ limiter: RequestLimiter, upstream: Int, _ body: (Int) async throws -> Void) async throws {
    var settings = limiter.policy.server
    settings.listen = "127.0.0.1:0"
    settings.upstream = "http://127.0.0.1:\(upstream)"
    settings.threads = 1
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    let gateway = try Gateway(
        settings: settings, limiter: limiter, logger: quiet, denials: quiet,
        onListening: { _, port in continuation.yield(port) })
    let group = ServiceGroup(services: [gateway], logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = await iterator.next() ?? 0
        try await body(port)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}
