import Foundation
import Logging
import ServiceLifecycle
import TestSupport
import Testing
import WeirHTTP
import WeirTesting

@testable import WeirServer

extension Serving {
    @Suite("Certificates")
    struct CertificateTests {
        private func files(_ certificate: TestCertificate) -> CertificateFiles {
            CertificateFiles(certificate: certificate.certificate, key: certificate.key)
        }

        @Test("the client's server name chooses: the name itself, a wildcard, else the first")
        func chosen() async throws {
            let folder = try Folder()
            let certificates = try ServerCertificates([
                files(try await TestCertificate(folder, "a", names: ["a.example"])),
                files(try await TestCertificate(folder, "b", names: ["*.example", "B.org"])),
                files(try await TestCertificate(folder, "c", names: ["c.example"])),
            ])
            #expect(certificates.dependsOnServerName)
            #expect(certificates.index(for: nil) == 0)
            #expect(certificates.index(for: "A.example") == 0)
            #expect(certificates.index(for: "c.example") == 2)
            #expect(certificates.index(for: "x.example") == 1)
            #expect(certificates.index(for: "b.org") == 1)
            #expect(certificates.index(for: "x.y.example") == 0)
            #expect(certificates.index(for: "example") == 0)
            #expect(certificates.index(for: "") == 0)
        }

        @Test("one that ends soon, has ended or isn't valid yet is warned of with its day")
        func expiry() async throws {
            let folder = try Folder()
            let made = try await TestCertificate(
                folder, "a", names: ["a.example"], days: 100, start: "2030-01-01 00:00:00")
            let certificates = try ServerCertificates([files(made)])
            let end = Double(try #require(certificates.expiries.first).time)
            #expect(certificates.expiries.first?.name == "a.example")
            func warning(_ days: Double) -> String? {
                certificates.warnings(at: Date(timeIntervalSince1970: end + days * 86_400)).first?.message
            }
            #expect(warning(-15) == nil)
            #expect(warning(-13.5)?.hasSuffix("a.pem' expires on 2030-04-11, in 13 days") == true)
            #expect(warning(-1.5)?.hasSuffix("in 1 day") == true)
            #expect(warning(1)?.hasSuffix("expired on 2030-04-11") == true)
            #expect(warning(-101)?.hasSuffix("is not valid before 2030-01-01") == true)
        }

        @Test("one that ends soon is warned of once a day while the server runs")
        func reminder() async throws {
            let folder = try Folder()
            let made = try await TestCertificate(folder, "a", names: ["a.example"], days: 9)
            let path = try folder.write("", "log")
            let descriptor = try #require(FileHandle(forWritingAtPath: path))
            let log = LineWriter(descriptor: descriptor.fileDescriptor)
            let logger = Logger(label: "test") { JSONLogHandler(label: $0, writer: log) }
            var settings = GatewaySettings()
            settings.upstream = "http://127.0.0.1:1"
            let server = try Server(
                settings: settings,
                limiter: RequestLimiter(policy: Policy(yaml: "limits: [{name: a, rate: 1/second}]")),
                certificates: ServerCertificates([files(made)]), logger: quiet, log: log)
            let clock = ManualClock(atTicks: Int64(Date().timeIntervalSince1970 * 1_000_000))
            let group = ServiceGroup(
                services: [CertificateWatcher(server: server, clock: clock, logger: logger)], logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                for day in 1...2 {
                    try await until("the watcher waits") { clock.waiting == 1 }
                    clock.advance(by: .seconds(86400))
                    try await until("the warning is written") {
                        try String(contentsOfFile: path, encoding: .utf8).components(separatedBy: "a.pem' expires on ")
                            .count == day + 1
                    }
                }
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
        }

        @Test("files that can't be used are named, with the mend")
        func faulty() async throws {
            let folder = try Folder()
            let good = try await TestCertificate(folder, "good", names: ["a.example"])
            let other = try await TestCertificate(folder, "other", names: ["b.example"])
            try await run(
                ["/usr/bin/openssl", "pkey", "-in", good.key, "-aes256", "-passout", "pass:x", "-out", "locked.key"],
                in: folder)
            let locked = folder.url.appending(path: "locked.key").path
            let noise = try folder.write("noise", "noise.pem")
            func message(_ certificate: String, _ key: String) -> String? {
                do {
                    _ = try ServerCertificates([CertificateFiles(certificate: certificate, key: key)])
                    return nil
                } catch {
                    return error.message
                }
            }
            #expect(message(good.certificate, good.key) == nil)
            #expect(message(good.certificate, locked)?.contains("is encrypted; decrypt it with `openssl pkey") == true)
            #expect(message(good.certificate, other.key)?.contains("does not belong to the certificate") == true)
            #expect(message(good.certificate, noise)?.contains("has no private key in PEM") == true)
            #expect(message(good.certificate, "nowhere")?.contains("'nowhere' can't be read") == true)
            #expect(message(noise, good.key)?.contains("has no certificate in PEM") == true)
            #expect(message(good.key, good.key)?.contains("has no certificate in PEM") == true)
            #expect(message("nowhere", good.key)?.contains("'nowhere' can't be read") == true)
        }
    }
}
