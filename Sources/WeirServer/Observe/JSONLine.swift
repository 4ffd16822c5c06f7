import WeirHTTP

/// One line of JSON, written field by field as bytes, without intermediate values.
struct JSONLine {
    private(set) var bytes: [UInt8] = []

    init(reserving count: Int = 384) {
        bytes.reserveCapacity(count)
        bytes.append(UInt8(ascii: "{"))
    }

    mutating func add(_ name: String, _ value: String) {
        begin(name)
        append(value)
    }

    mutating func add(_ name: String, _ value: some BinaryInteger) {
        begin(name)
        bytes += String(value).utf8
    }

    mutating func add(_ name: String, _ values: [String]) {
        begin(name)
        bytes.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(value)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// Adds a value that is already JSON.
    mutating func add(_ name: String, json: String) {
        begin(name)
        bytes += json.utf8
    }

    /// Ends the line.
    consuming func ended() -> [UInt8] {
        bytes += [UInt8(ascii: "}"), UInt8(ascii: "\n")]
        return bytes
    }

    private mutating func begin(_ name: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        append(name)
        bytes.append(UInt8(ascii: ":"))
    }

    /// Appends a JSON string. No client input can end the line or the string.
    private mutating func append(_ text: String) { bytes += ProblemDetails.quote(text).utf8 }
}
