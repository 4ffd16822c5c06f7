/// Gives charges names that are unique across instances, from 1 to 2^63 - 1.
///
/// The generator is SplitMix64 (Steele, Lea and Flood, 2014) with a random start. Its finisher is a bijection, so names
/// from one start hardly ever repeat.
struct ChargeNames {
    static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

    private var counter = UInt64.random(in: 0 ... .max)

    mutating func next() -> UInt64 {
        counter &+= Self.step
        return Self.name(counter)
    }

    static func name(_ counter: UInt64) -> UInt64 {
        var z = counter
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return max(1, z & ~(1 << 63))
    }
}
