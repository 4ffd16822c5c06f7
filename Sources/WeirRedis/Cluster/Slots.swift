/// Maps keys to a cluster's slots, and slots to servers.
enum Slots {
    static let count = 16384

    /// The slot of each of the 256 tags that keys carry.
    static let ofTags: [Int] = (0..<256).map { tag in
        let digits = Array("0123456789abcdef".utf8)
        return slot(of: [digits[tag >> 4], digits[tag & 15]])
    }

    /// The slot of a tag, or of a key without one (Redis Cluster specification: CRC16, XMODEM, modulo 16384).
    static func slot(of bytes: some Sequence<UInt8>) -> Int {
        var crc: UInt16 = 0
        for byte in bytes {
            crc ^= UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
        }
        return Int(crc) % count
    }

    /// Reads the reply to `CLUSTER SLOTS`: which server serves which slots. Nil if the reply is malformed.
    ///
    /// - Parameter asked: the server that answered. A node that doesn't know its own address leaves it out.
    static func owners(
        _ value: RESPValue, asked: RedisAddress.Endpoint
    ) -> [(slots: ClosedRange<Int>, master: RedisAddress.Endpoint)]? {
        guard let ranges = value.elements, !ranges.isEmpty else { return nil }
        var owners: [(slots: ClosedRange<Int>, master: RedisAddress.Endpoint)] = []
        for range in ranges {
            guard let parts = range.elements, parts.count >= 3, let first = parts[0].number, let last = parts[1].number,
                0 <= first, first <= last, last < Int64(count), let master = parts[2].elements, master.count >= 2,
                let port = master[1].number, (1...65535).contains(port)
            else { return nil }
            let host = master[0].text.flatMap { $0.isEmpty || $0 == "?" ? nil : $0 } ?? asked.host
            owners.append((Int(first)...Int(last), RedisAddress.Endpoint(host: host, port: Int(port))))
        }
        return owners
    }
}

extension StoreOperation {
    var slot: Int { Slots.ofTags[Int(partition >> 56)] }
}
