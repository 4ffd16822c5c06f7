import Foundation
import NIOSSL
import TestSupport
import Testing
import Weir

@testable import WeirRedis

extension Redis {
    @Suite("TLS", .serialized)
    struct TLSTests {
        @Test("a store behind TLS is reached with the authority that signed it, as an ACL user, and not without")
        func encrypted() async throws {
            let folder = try Folder()
            let path = folder.url.path
            let make = try Program(
                "/bin/bash",
                [
                    "-c",
                    """
                    set -e
                    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=test-ca
                    openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
                    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > san
                    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem
                    """,
                ], in: folder)
            #expect(try await make.wait() == 0, "\(make.log)")
            let secure = try freePort()
            let server = try await RedisServer(
                folder, .redis, "--tls-port", "\(secure)", "--tls-cert-file", "\(path)/server.pem", "--tls-key-file",
                "\(path)/server.key", "--tls-ca-cert-file", "\(path)/ca.pem", "--tls-auth-clients", "no")
            try server.ask(
                "ACL", "SETUSER", "weir", "on", ">pass:word/1", "~weir:*", "+evalsha", "+script|load", "+eval", "+time",
                "+ping", "+role", "+select", "+get", "+set", "+pexpire", "+mget", "+psetex", "+del", "+pttl", "+lindex",
                "+lset", "+llen", "+lrange", "+ltrim", "+lrem", "+lpush", "+rpush", "+rpop", "+zadd", "+zrem",
                "+zscore",
                "+zcard", "+zrangebyscore", "+zremrangebyscore")
            for host in ["localhost", "127.0.0.1"] {
                let store = try await makeStore("rediss://weir:pass%3Aword%2F1@\(host):\(secure)?ca=\(path)/ca.pem")
                for algorithm in Algorithm.allCases {
                    let limit =
                        algorithm == .concurrency
                        ? try Limit("flight", concurrency: 2) : try Limit("l", .perMinute(2), algorithm: algorithm)
                    let hasher = store.keyHasher
                    let charge = Charge(
                        limit.numbers, key: hasher.key(host, seed: hasher.seed(for: limit.identity)), countsDenied: true
                    )
                    let decisions = try await (0..<4).asyncMap { _ in try await store.decide([charge])[0] }
                    #expect(decisions[0].isAllowed && !decisions[3].isAllowed, "\(algorithm)")
                    if let receipt = decisions[0].receipt { _ = try await store.apply(.refund(charge, receipt)).value }
                    _ = try await store.apply(.debit(charge)).value
                    _ = try await store.apply(.reset(limit.numbers, charge.key)).value
                }
                store.close()
            }
            // A server that wants a certificate of its clients.
            let strict = try freePort()
            let wary = try await RedisServer(
                folder, .redis, "--tls-port", "\(strict)", "--tls-cert-file", "\(path)/server.pem", "--tls-key-file",
                "\(path)/server.key", "--tls-ca-cert-file", "\(path)/ca.pem", "--tls-auth-clients", "yes")
            let url = "rediss://127.0.0.1:\(strict)?ca=\(path)/ca.pem"
            try await makeStore("\(url)&cert=\(path)/server.pem&key=\(path)/server.key").close()
            let unknown = try RedisStore(RedisConfiguration(url: url))
            unknown.start()
            await #expect(throws: StoreError.self) { try await unknown.waitUntilReady(timeout: .milliseconds(700)) }
            unknown.close()
            #expect(try wary.ask("PING") == "PONG")
            // The same by settings of the app's own.
            var own = try RedisConfiguration(url: "redis://127.0.0.1:\(strict)")
            var settings = TLSConfiguration.makeClientConfiguration()
            settings.trustRoots = .file("\(path)/ca.pem")
            settings.certificateChain = try NIOSSLCertificate.fromPEMFile("\(path)/server.pem").map { .certificate($0) }
            settings.privateKey = .privateKey(try NIOSSLPrivateKey(file: "\(path)/server.key", format: .pem))
            own.tls = settings
            let configured = try RedisStore(own)
            configured.start()
            try await configured.waitUntilReady(timeout: .seconds(10))
            configured.close()
            // Who signed it isn't known.
            var options = try RedisConfiguration(url: "rediss://127.0.0.1:\(secure)")
            options.decisionTimeout = .milliseconds(50)
            let stranger = try RedisStore(options)
            stranger.start()
            await #expect(throws: StoreError.self) { try await stranger.waitUntilReady(timeout: .milliseconds(700)) }
            stranger.close()
        }
    }
}

extension Sequence {
    fileprivate func asyncMap<Result>(_ body: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
