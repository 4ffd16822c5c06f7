import Crypto
package import Weir

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension KeyHasher {
    /// Makes the keys of `WEIR_KEY_SECRET`: every instance with the same secret makes the same keys, and names a client
    /// by the same hash in its logs.
    ///
    /// - Parameter secret: a text of any length.
    package init(keySecret secret: String) {
        // Derive 128 bits from it.
        let digest = Array(SHA256.hash(data: Data("weir key secret\n\(secret)".utf8)))
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        self.init(sharedSecret: word(digest[0..<8]), word(digest[8..<16]))
    }
}
