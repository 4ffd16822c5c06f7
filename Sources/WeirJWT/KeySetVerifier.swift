public import Weir
public import WeirHTTP

import Foundation
import JWTKit

/// Verifies JSON Web Tokens (RFC 7519) against a JSON Web Key Set (RFC 7517), which is loaded once.
///
/// Each key verifies with only one algorithm, so that a token can't choose `none`, or use an RSA public key as an HMAC
/// secret. A token must name its key (`kid`) unless the set has only one, and must have an expiry (`exp`).
public struct KeySetVerifier: TokenVerifier {
    private let keys: [String: any JWTAlgorithm]
    private let issuer: String?
    private let audience: String?
    private let clock: any TickClock

    /// Loads a key set.
    ///
    /// - Parameters:
    ///   - json: the key set, with RSA, EC, Ed25519 or symmetric (`oct`) keys. Keys of other types are ignored.
    ///   - issuer: the issuer (`iss`) that tokens must have; nil to accept any.
    ///   - audience: the audience (`aud`) that tokens must have, perhaps among others; nil to accept any.
    ///   - clock: the clock for `exp` and `nbf`.
    /// - Throws: ``KeySetError`` if the text isn't a key set, two keys have the same name, a key is invalid or too
    ///   short, or no key is left.
    public init(
        json: String, issuer: String? = nil, audience: String? = nil, clock: any TickClock = SystemClock()
    ) async throws(KeySetError) {
        let entries: [Entry]
        do {
            entries = try JSONDecoder().decode(KeySet.self, from: Data(json.utf8)).keys
        } catch {
            throw KeySetError(.format, "the key set is not a JSON object with a list 'keys' (RFC 7517)")
        }
        var keys: [String: any JWTAlgorithm] = [:]
        for (index, entry) in entries.enumerated() {
            let name = entry.kid ?? "key \(index + 1)"
            guard let key = try await Self.algorithm(entry, name) else { continue }
            guard keys.updateValue(key, forKey: name) == nil else {
                throw KeySetError(.key, "the key set has two keys named '\(name)'")
            }
        }
        guard !keys.isEmpty else {
            throw KeySetError(.empty, "the key set has no usable key of type RSA, EC, OKP (Ed25519) or oct")
        }
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
        self.clock = clock
    }

    private struct KeySet: Decodable {
        let keys: [Entry]
    }

    private struct Entry: Decodable {
        let kid: String?
        let kty: String?
        let alg: String?
        let k: String?
        let jwk: JWK?

        private enum CodingKeys: String, CodingKey { case kid, kty, alg, k }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            kid = try values.decodeIfPresent(String.self, forKey: .kid)
            kty = try values.decodeIfPresent(String.self, forKey: .kty)
            alg = try values.decodeIfPresent(String.self, forKey: .alg)
            k = try values.decodeIfPresent(String.self, forKey: .k)
            jwk = try? JWK(from: decoder)
        }
    }

    /// Returns the key with its algorithm, or nil for a key of an unknown type.
    private static func algorithm(_ entry: Entry, _ name: String) async throws(KeySetError) -> (any JWTAlgorithm)? {
        let collection = JWTKeyCollection()
        let id = JWKIdentifier(string: name)
        do {
            if entry.kty == "oct" {
                guard let secret = entry.k.flatMap({ decode($0.utf8) }), secret.count >= 32 else {
                    throw KeySetError(.key, "the symmetric key '\(name)' must have at least 256 bits")
                }
                let digest: DigestAlgorithm =
                    switch entry.alg {
                    case "HS384": .sha384
                    case "HS512": .sha512
                    default: .sha256
                    }
                await collection.add(hmac: HMACKey(from: secret), digestAlgorithm: digest, kid: id)
            } else {
                guard var jwk = entry.jwk else { return nil }
                jwk.keyIdentifier = id
                if jwk.algorithm == nil { jwk.algorithm = defaultAlgorithm(jwk) }
                try await collection.add(jwk: jwk)
            }
            return try await collection.getKey(for: id)
        } catch let error as KeySetError {
            throw error
        } catch {
            throw KeySetError(.key, "the key '\(name)' of the key set can't be used")
        }
    }

    /// Returns the algorithm for a key that doesn't name one. It must be fixed here: otherwise the first token would
    /// choose it.
    private static func defaultAlgorithm(_ jwk: JWK) -> JWK.Algorithm {
        switch (jwk.keyType, jwk.curve?.rawValue) {
        case (.rsa, _): .rs256
        case (.ecdsa, "P-384"): .es384
        case (.ecdsa, "P-521"): .es512
        case (.ecdsa, _): .es256
        default: .eddsa
        }
    }

    /// Returns the claims of a token that are strings or whole numbers, or nil if the token isn't valid.
    ///
    /// A token with critical header parameters (`crit`) isn't valid (RFC 7515, 4.1.11).
    ///
    /// - Parameter token: the token in compact form, without the scheme `Bearer`.
    public func verify(_ token: String) -> VerifiedToken? {
        let bytes = Array(token.utf8)
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let headerBytes = Self.decode(parts[0]),
            let header = try? JSONDecoder().decode(Header.self, from: headerBytes), header.crit == nil,
            let key = header.kid.map({ keys[$0] }) ?? (keys.count == 1 ? keys.first?.value : nil),
            key.name == header.alg,
            let signature = Self.decode(parts[2]),
            (try? key.verify(signature, signs: bytes[..<parts[1].endIndex])) == true,
            let payload = Self.decode(parts[1]),
            let claims = try? JSONDecoder().decode([String: Claim].self, from: payload), isInForce(claims)
        else { return nil }
        return VerifiedToken(claims: claims.compactMapValues(\.text))
    }

    private struct Header: Decodable {
        let alg: String
        let kid: String?
        let crit: [String]?
    }

    /// The value of a claim, if it is of a usable type.
    private enum Claim: Decodable {
        case text(String)
        /// A number, and its digits if it is whole.
        case number(Double, digits: String?)
        case texts([String])
        case other

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let text = try? value.decode(String.self) {
                self = .text(text)
            } else if let whole = try? value.decode(Int64.self) {
                self = .number(Double(whole), digits: String(whole))
            } else if let number = try? value.decode(Double.self) {
                // A Double has no more than 16 digits, and two users may differ in the seventeenth.
                let decimal = try? value.decode(Decimal.self)
                let text = decimal.map { "\($0)" }
                self = .number(number, digits: text?.allSatisfy(\.isNumber) == true ? text : nil)
            } else if let texts = try? value.decode([String].self) {
                self = .texts(texts)
            } else {
                self = .other
            }
        }

        var text: String? {
            switch self {
            case .text(let text): text
            case .number(_, let digits): digits
            case .texts, .other: nil
            }
        }
    }

    /// Whether the token's times, issuer and audience are valid now (RFC 7519, 4.1).
    private func isInForce(_ claims: [String: Claim]) -> Bool {
        let now = Double(clock.timestamp) / 1_000_000
        guard case .number(let expiry, _)? = claims["exp"], now < expiry else { return false }
        if let begin = claims["nbf"] {
            guard case .number(let begin, _) = begin, begin <= now else { return false }
        }
        if let issuer {
            guard case .text(issuer)? = claims["iss"] else { return false }
        }
        if let audience {
            switch claims["aud"] {
            case .text(audience): break
            case .texts(let all) where all.contains(audience): break
            default: return false
            }
        }
        return true
    }

    /// Decodes Base64url without padding (RFC 7515, 2).
    private static func decode(_ text: some Sequence<UInt8>) -> Data? {
        var base64 = text.map { byte in
            switch byte {
            case UInt8(ascii: "-"): UInt8(ascii: "+")
            case UInt8(ascii: "_"): UInt8(ascii: "/")
            default: byte
            }
        }
        while base64.count % 4 != 0 { base64.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(base64))
    }
}
