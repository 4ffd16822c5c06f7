import ArgumentParser
import Foundation
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Weir
import WeirServer
import WeirHTTP

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Try Weir: run the gateway in front of a small sample ML API. Nothing else is needed."
    )

    @Option(help: "The gateway's address.")
    var listen = "127.0.0.1:8080"

    @Option(help: "The address for health checks and metrics.")
    var admin = "127.0.0.1:9090"

    func validate() throws {
        for text in [listen, admin] where SocketText(text) == nil {
            throw ValidationError("'\(text)' must be an address and a port such as 127.0.0.1:8080")
        }
    }

    static let policy = """
        exempt:
          - path: /health
        limits:
          - name: per-client
            rate: 60/minute
          - name: predict
            match: {method: POST, path: /predict}
            rate: 10/minute
            cost: {json_length: /inputs, default: 1, max: 10}
          - name: gpu
            match: {path: "/predict*"}
            key: [global]
            algorithm: concurrency
            limit: 8

        """

    func run() async throws {
        let reading = Policy.read(Self.policy, file: "the demo's policy")
        guard var policy = reading.policy else { throw PolicyError(reading.diagnostics) }
        let sample = SampleAPI()
        do {
            try await withThrowingTaskGroup { group in
                // The API must outlive the gateway, which drains its requests at the end.
                group.addTask { try await sample.run() }
                let port = await sample.port.value
                policy.gateway.listen = [listen].compactMap { ListenAddress($0) }
                policy.gateway.admin = admin
                policy.gateway.upstream = "http://127.0.0.1:\(port)"
                let server = try GatewayServer(policy: policy, settings: policy.gateway)
                try await server.run(watching: nil, environment: [:]) { gateways, admin in
                    let gateway = gateways.first?.replacing("http://", with: "") ?? ""
                    FileHandle.standardOutput.write(
                        Data(Self.welcome(gateway: gateway, admin: admin ?? "", port: port).utf8))
                }
                group.cancelAll()
            }
        } catch is CancellationError {
        } catch let error as any CustomStringConvertible {
            complain("weir: \(error)")
            throw ExitCode.failure
        }
    }

    private static func welcome(gateway: String, admin: String, port: Int) -> String {
        """
        Weir is running in front of a sample ML API (http://127.0.0.1:\(port)), which does no rate limiting itself.
        Each client may send 60 requests and get 10 predictions a minute. A request for n "inputs" costs n predictions.

        In another terminal, try:

          curl -i http://\(gateway)/models

          curl -i http://\(gateway)/predict -H 'Content-Type: application/json' -d '{"inputs": ["a", "b"]}'

          for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\\n' http://\(gateway)/predict -d '{"inputs": ["a"]}'; done; curl -i http://\(gateway)/predict -d '{"inputs": ["a"]}'

        Metrics are at http://\(admin)/metrics. Press Ctrl-C to stop.

        """
    }
}

/// A small API like those that people protect: a slow model, with no code for limits.
private struct SampleAPI: Service {
    let port = PendingAnswer<Int>()

    struct Prediction: ResponseEncodable {
        var outputs: [Double]
    }

    struct Inputs: Decodable {
        var inputs: [String]
    }

    func run() async throws {
        let router = Router()
        router.get("health") { _, _ in "ok\n" }
        router.get("models") { _, _ in ["sample-small", "sample-large"] }
        router.post("predict") { request, context -> Prediction in
            let body = try await request.body.collect(upTo: 1 << 20)
            let inputs = (try? JSONDecoder().decode(Inputs.self, from: Data(body.readableBytesView)))?.inputs ?? [""]
            // A real model takes some time.
            try await Task.sleep(for: .milliseconds(20))
            return Prediction(outputs: inputs.map { Double($0.utf8.count) / 10 })
        }
        router.get("stream") { _, _ -> Response in
            let body = ResponseBody { writer in
                for word in ["one", "token", "after", "another"] {
                    try await writer.write(ByteBuffer(string: "data: \(word)\n\n"))
                    try await Task.sleep(for: .milliseconds(200))
                }
                try await writer.finish(nil)
            }
            return Response(status: .ok, headers: [.contentType: "text/event-stream"], body: body)
        }
        let port = port
        var quiet = Logger(label: "sample")
        quiet.logLevel = .error
        let app = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in port.complete(channel.localAddress?.port ?? 0) },
            logger: quiet)
        try await app.run()
    }
}
