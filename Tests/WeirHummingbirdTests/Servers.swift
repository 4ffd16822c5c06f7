import Foundation
import Hummingbird
import HummingbirdRouter
import Logging
import TestSupport
import Weir
import WeirServer
import WeirHTTP
import WeirHummingbird
import WeirTesting

/// A server of this process while `body` runs. It gets the port.
func withServer<Responder: HTTPResponder>(
    _ responder: Responder, _ body: (Int) async throws -> Void
) async throws where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    try await withService(body) { listening in
        Application(
            responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { listening($0.localAddress?.port ?? 0) }, logger: quiet)
    }
}

/// A gateway of this process in front of an upstream, while `body` runs. It gets the port.
func withGateway(
    _ limiter: RequestLimiter, upstream: Int, _ certificate: TestCertificate? = nil,
    _ body: (Int) async throws -> Void
) async throws {
    var settings = limiter.policy.gateway
    settings.listen = [ListenAddress("127.0.0.1:0")].compactMap(\.self)
    settings.upstream = "http://127.0.0.1:\(upstream)"
    settings.threads = 1
    var certificates: ServerCertificates?
    if let certificate {
        settings.tls = [CertificateFiles(certificate: certificate.certificate, key: certificate.key)]
        certificates = try ServerCertificates(settings.tls)
    }
    let gateway = settings
    let proofs = certificates
    try await withService(body) { listening in
        try Server(
            settings: gateway, limiter: limiter, certificates: proofs, logger: quiet, log: LineWriter(descriptor: 2),
            onListening: { listening($0.first?.port ?? 0) })
    }
}
