import Foundation
import NIOCore
import NIOPosix
import TestSupport
import Testing
import WeirHTTP

@testable import WeirServer

#if canImport(Glibc)
    import Glibc
#endif

extension Serving {
    @Suite("Listeners")
    struct ListenerTests {
        private let group = MultiThreadedEventLoopGroup.singleton

        private func open(_ text: String, mode: Int = 0o660) async throws -> [OpenListener] {
            var settings = GatewaySettings()
            settings.socketMode = mode
            let address = try #require(ListenAddress(text))
            let pipeline = ClientPipeline(
                loops: [], limits: ConnectionLimits(most: 9, mostForAddress: 9), settings: settings)
            return try await Listener(address, pipeline: pipeline, settings: settings, logger: quiet).open(on: group)
        }

        private func close(_ listeners: [OpenListener]) async {
            for listener in listeners { await listener.close() }
        }

        @Test("a name opens each of its addresses that this machine has, all on one port")
        func names() async throws {
            let listeners = try await open("localhost:0")
            #expect(listeners.contains { $0.name.hasPrefix("http://127.0.0.1:") })
            #expect(Set(listeners.map(\.port)).count == 1)
            await close(listeners)
        }

        @Test("an asterisk opens IPv4 and IPv6 apart")
        func everywhere() async throws {
            let listeners = try await open("*:0")
            #expect(listeners.first?.name.hasPrefix("http://0.0.0.0:") == true)
            #expect(listeners.dropFirst().allSatisfy { $0.name.hasPrefix("http://[::]:") })
            await close(listeners)
        }

        @Test("an address in use, or a name that doesn't exist, is one clear line")
        func taken() async throws {
            let first = try await open("127.0.0.1:0")
            let address = "127.0.0.1:\(first[0].port)"
            await #expect { try await open(address) } throws: {
                "\($0)" == "can't listen on \(address): Address already in use"
            }
            await #expect { try await open("no.such.name.invalid:80") } throws: {
                "\($0)".hasPrefix("can't listen on no.such.name.invalid:80: ")
            }
            await close(first)
        }

        @Test("a Unix socket has its mode, is removed at the end, and replaces one that was left behind")
        func unixSocket() async throws {
            let folder = try Folder()
            let path = folder.url.appending(path: "s").path
            let attributes = { try FileManager.default.attributesOfItem(atPath: path) }
            let first = try await open("unix:\(path)", mode: 0o600)
            #expect(first.map(\.name) == ["unix:\(path)"])
            #expect(try attributes()[.posixPermissions] as? Int == 0o600)
            await #expect { try await open("unix:\(path)") } throws: { "\($0)".contains("Address already in use") }
            await close(first)
            #expect(!FileManager.default.fileExists(atPath: path))

            // As after a kill: the file is there, and nobody listens.
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un(path)
            let size = socklen_t(MemoryLayout<sockaddr_un>.size)
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
            }
            #expect(result == 0)
            Glibc.close(descriptor)
            #expect(FileManager.default.fileExists(atPath: path))
            await close(try await open("unix:\(path)"))

            _ = try folder.write("precious", "s")
            await #expect { try await open("unix:\(path)") } throws: { "\($0)".contains("File exists") }
        }
    }
}

extension sockaddr_un {
    fileprivate init(_ path: String) {
        self.init()
        sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &sun_path) { $0.copyBytes(from: path.utf8) }
    }
}
