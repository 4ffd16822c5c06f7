import Foundation
import JWTKit
import Testing
import Weir
import WeirHTTP
import WeirJWT
import WeirTesting

@Suite("Tokens")
struct KeySetVerifierTests {
    struct Claims: JWTPayload {
        var sub = "alice"
        var exp: Int? = 1_790_000_100
        var nbf: Int?
        var iss: String?
        var aud: [String]?
        var tier: String? = "pro"

        func verify(using algorithm: some JWTAlgorithm) {}
    }

    let clock = ManualClock(atTicks: 1_790_000_000_000_000)
    let private1 = ES256PrivateKey()
    let private2 = ES256PrivateKey()
    let secret = Data((0..<32).map { UInt8($0) })

    static func base64URL(_ data: some DataProtocol) -> String {
        Data(data).base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(
            of: "/", with: "_"
        )
        .replacingOccurrences(of: "=", with: "")
    }

    func entry(_ key: ES256PrivateKey, _ kid: String) throws -> String {
        let parameters = try #require(key.publicKey.parameters)
        func url(_ text: String) -> String {
            text.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_").replacingOccurrences(
                of: "=", with: "")
        }
        return
            "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"\(kid)\",\"x\":\"\(url(parameters.x))\",\"y\":\"\(url(parameters.y))\"}"
    }

    func verifier(issuer: String? = nil, audience: String? = nil) async throws -> KeySetVerifier {
        let symmetric = "{\"kty\":\"oct\",\"kid\":\"s\",\"k\":\"\(Self.base64URL(secret))\"}"
        let strange = "{\"kty\":\"strange\",\"kid\":\"x\"}"
        return try await KeySetVerifier(
            json: "{\"keys\":[\(try entry(private1, "one")),\(try entry(private2, "two")),\(symmetric),\(strange)]}",
            issuer: issuer, audience: audience, clock: clock)
    }

    func sign(_ claims: Claims = Claims(), with key: ES256PrivateKey? = nil, kid: String = "one") async throws -> String
    {
        let keys = JWTKeyCollection()
        await keys.add(ecdsa: key ?? private1, kid: JWKIdentifier(string: kid))
        return try await keys.sign(claims, kid: JWKIdentifier(string: kid))
    }

    @Test("a sound token gives its claims")
    func sound() async throws {
        let verifier = try await verifier()
        let token = try #require(verifier.verify(try await sign()))
        #expect(token.claim("sub") == "alice")
        #expect(token.claim("tier") == "pro")
        #expect(token.claim("exp") == "1790000100")
        #expect(token.claim("nothing") == nil)
        #expect(verifier.verify(try await sign(with: private2, kid: "two")) != nil)
        let keys = JWTKeyCollection()
        await keys.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256, kid: "s")
        #expect(verifier.verify(try await keys.sign(Claims(), kid: "s")) != nil)
    }

    @Test("a token that is signed by another key, changed, unsigned, or names another algorithm is nobody's")
    func forged() async throws {
        let verifier = try await verifier()
        let token = try await sign()
        let parts = token.split(separator: ".").map(String.init)
        #expect(verifier.verify(try await sign(with: ES256PrivateKey())) == nil)
        #expect(verifier.verify(try await sign(kid: "two")) == nil)
        #expect(verifier.verify(try await sign(kid: "missing")) == nil)
        let other = Self.base64URL(Data("{\"sub\":\"root\",\"exp\":1790000100}".utf8))
        #expect(verifier.verify("\(parts[0]).\(other).\(parts[2])") == nil)
        for header in [
            "{\"alg\":\"none\",\"kid\":\"one\"}", "{\"alg\":\"none\"}", "{\"alg\":\"HS256\",\"kid\":\"one\"}",
            "{\"alg\":\"ES256\",\"kid\":\"s\"}",
        ] {
            let head = Self.base64URL(Data(header.utf8))
            for signature in ["", parts[2]] {
                #expect(verifier.verify("\(head).\(parts[1]).\(signature)") == nil, "\(header)")
            }
        }
        // The public key, as a secret: the confusion of RFC 8725, 3.1.
        let keys = JWTKeyCollection()
        await keys.add(
            hmac: HMACKey(from: Data(private1.publicKey.pemRepresentation.utf8)), digestAlgorithm: .sha256, kid: "one")
        #expect(verifier.verify(try await keys.sign(Claims(), kid: "one")) == nil)
    }

    @Test("a claim that is a number is kept by its digits")
    func numbers() async throws {
        struct Numbers: JWTPayload {
            var exp = 1_790_000_100
            var first = 281_674_916_028_284_930
            var second = 281_674_916_028_284_931
            var largest = UInt64.max
            var negative = -5
            var fraction = 1.5

            func verify(using algorithm: some JWTAlgorithm) {}
        }
        let keys = JWTKeyCollection()
        await keys.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256, kid: "s")
        let token = try #require(try await verifier().verify(try await keys.sign(Numbers(), kid: "s")))
        #expect(token.claim("first") == "281674916028284930")
        #expect(token.claim("second") == "281674916028284931")
        #expect(token.claim("largest") == "18446744073709551615")
        #expect(token.claim("negative") == "-5")
        #expect(token.claim("fraction") == nil)
    }

    @Test("times, issuer and audience must hold, and a token must expire")
    func claims() async throws {
        let plain = try await verifier()
        #expect(plain.verify(try await sign(Claims(exp: nil))) == nil)
        #expect(plain.verify(try await sign(Claims(exp: 1_790_000_000))) == nil, "expired at this instant")
        #expect(plain.verify(try await sign(Claims(nbf: 1_790_000_001))) == nil)
        #expect(plain.verify(try await sign(Claims(nbf: 1_790_000_000))) != nil)
        let strict = try await verifier(issuer: "me", audience: "api")
        #expect(strict.verify(try await sign(Claims(iss: "me", aud: ["web", "api"]))) != nil)
        #expect(strict.verify(try await sign(Claims(iss: "you", aud: ["api"]))) == nil)
        #expect(strict.verify(try await sign(Claims(iss: "me", aud: ["web"]))) == nil)
        #expect(strict.verify(try await sign(Claims(iss: "me", aud: []))) == nil)
        #expect(strict.verify(try await sign()) == nil)
    }

    @Test("no bytes crash the verifier")
    func fuzz() async throws {
        let verifier = try await verifier()
        let token = Array(try await sign().utf8)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var mutated = token
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                mutated[Int.random(in: 0..<mutated.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
            }
            _ = verifier.verify(String(decoding: mutated, as: UTF8.self))
        }
        for text in ["", ".", "..", "...", "a.b.c", String(repeating: "a.", count: 5000)] {
            #expect(verifier.verify(text) == nil)
        }
        let huge = Self.base64URL(Data("{\"alg\":\"ES256\",\"kid\":\"one\",\"x\":1e300}".utf8))
        #expect(verifier.verify("\(huge).e30.e30") == nil)
    }

    @Test(
        "a key set that can't be used says why",
        arguments: ["", "[]", "{}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"])
    func badKeySets(_ json: String) async {
        await #expect(throws: KeySetError.self) { try await KeySetVerifier(json: json) }
    }
}
