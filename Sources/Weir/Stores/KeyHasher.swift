/// Turns key values into ``Key``s with secrets, so that a client can't choose values that collide in a table.
///
/// In one process it folds 64 × 64 → 128 bit products over 16 bytes at a time, as wyhash does, with secret random
/// constants. For keys that leave the process it uses SipHash-2-4 with a secret and 128-bit results, so that reading
/// them in the store reveals nothing of the values.
public struct KeyHasher: Sendable, Equatable {
    private let a: UInt64
    private let b: UInt64
    private let c: UInt64
    private let d: UInt64
    /// Whether the keys may leave the process.
    public let isShared: Bool

    /// Creates a hasher with secrets of this process, from the system's random number generator.
    public init() {
        var generator = SystemRandomNumberGenerator()
        self.init(using: &generator)
    }

    /// Creates a hasher with secrets from `generator`.
    public init(using generator: inout some RandomNumberGenerator) {
        // An even factor would lose the top bit of the number that it multiplies.
        a = generator.next() | 1
        b = generator.next() | 1
        c = generator.next() | 1
        d = generator.next() | 1
        isShared = false
    }

    /// Creates a hasher for keys that leave the process. Instances with the same 128-bit secret make the same keys.
    public init(sharedSecret high: UInt64, _ low: UInt64) {
        a = high
        b = low
        c = 0
        d = 0
        isShared = true
    }

    /// The secret given to ``init(sharedSecret:_:)``.
    package var sharedSecret: (high: UInt64, low: UInt64) { (a, b) }

    /// The key of one string, under the limit that `seed` belongs to.
    ///
    /// - Parameters:
    ///   - value: the string.
    ///   - seed: the result of ``seed(for:)`` for the limit's identity.
    @inline(never)
    public func key(_ value: String, seed: UInt64) -> Key {
        if isShared { return sharedKey(value, seed: seed) }
        let hash = hash(value, seed: seed)
        return Key(high: seed, low: hash, partition: hash)
    }

    @inline(never)
    private func sharedKey(_ value: String, seed: UInt64) -> Key {
        var dimensions: [UInt64] = []
        append(value, seed: 0, to: &dimensions)
        return key(dimensions, seed: seed)
    }

    /// The seed of one limit's keys: a hash of `identity`, which is the limit's name, algorithm and period, and the
    /// names of the key's dimensions.
    public func seed(for identity: String) -> UInt64 {
        hash(identity, seed: 0)
    }

    /// The key of several dimensions, each added by ``append(_:seed:to:)``, under the limit that `seed` belongs to.
    @inline(__always)
    package func key(_ dimensions: [UInt64], seed: UInt64) -> Key {
        if isShared { return sharedKey(dimensions, seed: seed) }
        var state = seed
        var partition: UInt64?
        for dimension in dimensions {
            state = Self.fold(state ^ c, dimension ^ d)
            partition = partition ?? dimension
        }
        return Key(high: seed, low: Self.fold(state ^ a, b), partition: partition ?? 0)
    }

    private func sharedKey(_ dimensions: [UInt64], seed: UInt64) -> Key {
        var hash = SipHash(a, b)
        hash.absorb(seed)
        for dimension in dimensions { hash.absorb(dimension) }
        // The length at the end ensures that no input is a prefix of another.
        hash.absorb(UInt64(truncatingIfNeeded: dimensions.count &+ 1) << 56)
        let (high, low) = hash.finish()
        return Key(high: high, low: low, partition: dimensions.first ?? 0)
    }

    /// Hashes one value and appends the hash, one word or two, to a key's dimensions.
    @inline(__always)
    package func append(_ value: String, seed: UInt64, to dimensions: inout [UInt64]) {
        if isShared {
            appendShared(value, seed: seed, to: &dimensions)
        } else {
            dimensions.append(hash(value, seed: seed))
        }
    }

    /// Hashes one value, given as bytes, as ``append(_:seed:to:)`` does for a string.
    @inline(__always)
    package func append(_ bytes: UnsafeRawBufferPointer, seed: UInt64, to dimensions: inout [UInt64]) {
        if isShared {
            let (first, second) = sip(bytes, seed: seed)
            dimensions.append(first)
            dimensions.append(second)
        } else {
            dimensions.append(hash(bytes, seed: seed))
        }
    }

    @inline(never)
    private func appendShared(_ value: String, seed: UInt64, to dimensions: inout [UInt64]) {
        var copy = value
        copy.withUTF8 { append(UnsafeRawBufferPointer($0), seed: seed, to: &dimensions) }
    }

    private func sip(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> (first: UInt64, second: UInt64) {
        var hash = SipHash(a, b)
        hash.absorb(seed)
        hash.absorb(bytes, after: 1)
        return hash.finish()
    }

    @inline(never)
    private func sharedHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 { sip(bytes, seed: seed).first }

    /// Hashes one value. Includes its length, so that `ab`+`c` differs from `a`+`bc`.
    @inline(__always)
    package func hash(_ value: String, seed: UInt64) -> UInt64 {
        // Only bridged strings lack contiguous storage. `withUTF8` needs a mutable copy, which costs a retain and a
        // release.
        value.utf8.withContiguousStorageIfAvailable { hash(UnsafeRawBufferPointer($0), seed: seed) }
            ?? Self.hash(copyOf: value, by: self, seed: seed)
    }

    @inline(never)
    private static func hash(copyOf value: String, by hasher: KeyHasher, seed: UInt64) -> UInt64 {
        var copy = value
        return copy.withUTF8 { hasher.hash(UnsafeRawBufferPointer($0), seed: seed) }
    }

    @inline(__always)
    package func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        if isShared { return sharedHash(bytes, seed: seed) }
        let count = bytes.count
        var state = seed ^ a
        var first: UInt64 = 0
        var second: UInt64 = 0
        if count >= 16 {
            var offset = 0
            while count - offset > 16 {
                state = Self.fold(
                    bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ^ b,
                    bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self) ^ state
                )
                offset += 16
            }
            // The last 16 bytes overlap earlier ones, so there is no tail to loop over.
            first = bytes.loadUnaligned(fromByteOffset: count - 16, as: UInt64.self)
            second = bytes.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
        } else if count >= 8 {
            // A short string was just stored on the stack as two words. A load across both would wait for the stores.
            first = bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
            if count >= 12 {
                second = UInt64(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
                second |= UInt64(bytes.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)) << 32
            } else if count > 8 {
                second = UInt64(bytes[8]) | UInt64(bytes[(count + 8) / 2]) << 8 | UInt64(bytes[count - 1]) << 16
            }
        } else if count >= 4 {
            first = UInt64(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
            second = UInt64(bytes.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
        } else if count > 0 {
            first = UInt64(bytes[0]) << 16 | UInt64(bytes[count / 2]) << 8 | UInt64(bytes[count - 1])
        }
        state = Self.fold(first ^ b ^ UInt64(truncatingIfNeeded: count), second ^ state)
        return Self.fold(state ^ c, d ^ UInt64(truncatingIfNeeded: count))
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
