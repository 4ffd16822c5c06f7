/// Reads the cost of a response as the response passes by. Keeps at most `body_limit` bytes of it.
struct ResponseMeter {
    private let cost: CostRule.ResponseCost
    private let bodyLimit: Int
    private var reading = CostReading.absent
    private var kept: [UInt8] = []
    private var mode = Mode.ignoring

    private enum Mode { case ignoring, wholeBody, events }

    init(_ cost: CostRule.ResponseCost, bodyLimit: Int) {
        self.cost = cost
        self.bodyLimit = bodyLimit
    }

    /// Reads the response's head.
    ///
    /// - Parameter header: returns all values of the header of a name.
    mutating func head(status: Int, header: (String) -> [String]) {
        switch cost {
        case .status(let costs): if let units = costs[status] { reading = .units(units) }
        case .header(let name):
            let values = header(name)
            if values.count == 1 { reading = CostReading(text: values[0]) }
        case .json:
            let coding = header("Content-Encoding")
            guard coding.isEmpty || coding == ["identity"] else { return }
            let type = header("Content-Type").first?.lowercased() ?? ""
            mode = type.hasPrefix("text/event-stream") ? .events : .wholeBody
        }
    }

    /// Ends with an error, whose status isn't known here. A cost by status is the highest one configured.
    mutating func failed() {
        if case .status(let costs) = cost, let most = costs.values.max() { reading = .units(most) }
    }

    /// Reads the next part of the response's body.
    mutating func body(_ bytes: UnsafeRawBufferPointer) {
        switch mode {
        case .ignoring: break
        case .wholeBody:
            guard kept.count + bytes.count <= bodyLimit else {
                mode = .ignoring
                kept = []
                return
            }
            kept += bytes
        case .events:
            for byte in bytes {
                if byte == 0x0A || byte == 0x0D {
                    endLine()
                } else if kept.count < bodyLimit {
                    kept.append(byte)
                }
            }
        }
    }

    /// Reads a line of an event stream (WHATWG HTML, 9.2). The last `data:` line that has the pointer counts.
    private mutating func endLine() {
        defer { kept.removeAll(keepingCapacity: true) }
        guard case .json(let pointer) = cost, kept.starts(with: "data:".utf8) else { return }
        let found = kept.withUnsafeBytes { line in
            CostReading(json: pointer, in: UnsafeRawBufferPointer(rebasing: line.dropFirst(5)), asLength: false)
        }
        if case .units = found { reading = found }
    }

    /// Ends the response. Returns its cost, or nil if the cost can't be read from it.
    mutating func end() -> Int64? {
        if case .json(let pointer) = cost {
            switch mode {
            case .ignoring: break
            case .wholeBody: reading = kept.withUnsafeBytes { CostReading(json: pointer, in: $0, asLength: false) }
            case .events: endLine()
            }
        }
        if case .units(let units) = reading { return units }
        return nil
    }
}
