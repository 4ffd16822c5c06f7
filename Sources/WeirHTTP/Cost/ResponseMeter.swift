import Weir

/// Reads the cost of a response as the response passes by, whatever its length. It keeps none of it.
struct ResponseMeter {
    private let cost: CostRule.ResponseCost.Kind
    private let tree: JSONPointerTree?
    private var reading = CostReading.absent
    private var status = 0
    private var mode = Mode.ignoring
    private var scanner: JSONScanner?
    private var events = EventReader()
    /// The last number found at each pointer, and whether what was found can't be relied on.
    private var values: [Int64?] = []
    private var isSpoiled = false
    private var eventCount: Int64 = 0
    private var isCompressed = false
    /// The units that the app itself said the response costs; nil if it said nothing.
    private var stated: Int64?

    private enum Mode { case ignoring, document, events, lines }

    /// Why a response doesn't say its cost.
    enum Unknown: String, CaseIterable {
        /// It isn't there.
        case absent
        /// It is no number, is there twice, or the document is malformed.
        case unreadable
        /// The body is compressed.
        case compressed
        /// The response broke off before it.
        case incomplete
    }

    /// What a response cost.
    enum Result: Equatable {
        case known(Int64)
        /// The response didn't say it. `atLeast` is what was seen of it.
        case unknown(Unknown, atLeast: Int64)
        /// It failed, and said nothing of a cost.
        case failed
    }

    /// - Parameter tree: the pointers of a cost in the body.
    init(_ cost: CostRule.ResponseCost.Kind, _ tree: JSONPointerTree?) {
        self.cost = cost
        self.tree = tree
        values = Array(repeating: nil, count: tree?.count ?? 0)
    }

    /// Reads the response's head.
    ///
    /// - Parameter header: returns all values of the header of a name.
    mutating func head(status: Int, header: (String) -> [String]) {
        self.status = status
        switch cost {
        case .status(let costs): if let units = costs[status] { reading = .units(units) }
        case .header(let name):
            let values = header(name)
            if values.count == 1 { reading = CostReading(text: values[0]) }
            if values.count > 1 { reading = .unreadable }
        case .body:
            let coding = header("Content-Encoding")
            guard coding.isEmpty || coding == ["identity"] else { return isCompressed = true }
            if stated != nil { return }
            scanner = tree.map { JSONScanner($0) }
            mode = header("Content-Type").first.map(Self.mode(ofType:)) ?? .document
        }
    }

    private static let lineTypes = [
        "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
        "application/json-seq",
    ]

    /// How a body of a media type is read.
    private static func mode(ofType text: String) -> Mode {
        let end = text.utf8.firstIndex { $0 == UInt8(ascii: ";") || $0 == UInt8(ascii: " ") } ?? text.endIndex
        let type = String(text[..<end])
        if type.isEqualIgnoringCase("text/event-stream") { return .events }
        return lineTypes.contains { type.isEqualIgnoringCase($0) } ? .lines : .document
    }

    /// Adds units that the app itself says the response costs. Nothing else is then read from the response.
    ///
    /// - Parameter units: 0 to 10^9.
    mutating func state(_ units: Int64) {
        stated = min((stated ?? 0) + units, Rate.maximumCount)
        mode = .ignoring
    }

    /// Ends with an error, whose status isn't known here. A cost by status is the highest one configured.
    mutating func failed() {
        if case .status(let costs) = cost, let most = costs.values.max() { reading = .units(most) }
        status = 500
    }

    // MARK: The body

    /// Reads the next part of the response's body.
    mutating func body(_ bytes: UnsafeRawBufferPointer) {
        switch mode {
        case .ignoring: break
        case .document: scanner?.read(bytes)
        case .events: readEvents(bytes)
        case .lines: readLines(bytes)
        }
    }

    private mutating func readEvents(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while let finding = events.next(in: bytes, from: &index) {
            switch finding {
            case .data(let range): scanner?.read(UnsafeRawBufferPointer(rebasing: bytes[range]))
            case .newline: withUnsafeBytes(of: UInt8(0x0A)) { scanner?.read($0) }
            case .end: endDocument()
            }
        }
    }

    private mutating func readLines(_ bytes: UnsafeRawBufferPointer) {
        var start = 0
        // A record separator begins a line of a JSON text sequence (RFC 7464).
        for index in bytes.indices where bytes[index] == 0x0A || bytes[index] == 0x1E {
            scanner?.read(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            if scanner?.hasBegun == true { endDocument() }
            start = index + 1
        }
        scanner?.read(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    /// Ends one document of a stream.
    private mutating func endDocument() {
        eventCount &+= 1
        takeFindings(mustBeWhole: false)
    }

    /// Takes what a document had, and begins the next one.
    private mutating func takeFindings(mustBeWhole: Bool) {
        guard scanner != nil else { return }
        // An event such as `[DONE]` is no document.
        if scanner?.finish() != true {
            if mustBeWhole, scanner?.hasBegun == true { isSpoiled = true }
        } else if scanner?.hasFindings == true, let findings = scanner?.findings {
            for (index, finding) in findings.enumerated() {
                switch finding {
                case .absent: break
                case .number(let number): values[index] = number
                case .unreadable: isSpoiled = true
                }
            }
        }
        scanner?.reset()
    }

    // MARK: The end

    /// Ends the response.
    ///
    /// - Parameter isComplete: whether all of it came.
    mutating func end(isComplete: Bool) -> Result {
        if let stated { return .known(stated) }
        guard case .body(let body) = cost else { return endWithoutBody() }
        if mode != .document, events.hasData || scanner?.hasBegun == true { eventCount &+= 1 }
        takeFindings(mustBeWhole: mode == .document && isComplete)
        let found = isSpoiled ? nil : largestShape(of: body)
        let seen = max(largestShape(of: body) ?? 0, body.countsEvents ? eventCount : 0)
        if isComplete, let found { return .known(found) }
        if !isComplete { return .unknown(.incomplete, atLeast: seen) }
        if status >= 400 { return .failed }
        return .unknown(isCompressed ? .compressed : isSpoiled ? .unreadable : .absent, atLeast: seen)
    }

    private func endWithoutBody() -> Result {
        if case .units(let units) = reading { return .known(units) }
        // A status that isn't listed costs the default, which is nothing unless the policy says otherwise.
        if case .status = cost { return .unknown(status == 0 ? .incomplete : .absent, atLeast: 0) }
        if status >= 400 { return .failed }
        return .unknown(reading == .unreadable ? .unreadable : .absent, atLeast: 0)
    }

    /// The largest of the shapes of which a part was found; nil if none was.
    private func largestShape(of body: BodyCost) -> Int64? {
        var start = 0
        var largest: Int64?
        for shape in body.shapes {
            var sum: Int128 = 0
            var isFound = false
            for part in shape {
                guard start + part.pointers.count <= values.count else { return largest }
                let numbers = values[start..<(start + part.pointers.count)]
                start += part.pointers.count
                guard let number = numbers.lazy.compactMap({ $0 }).first else { continue }
                isFound = true
                sum += Int128(number) * Int128(part.millionths)
            }
            guard isFound else { continue }
            let units = Int64(clamping: max(0, (sum + 999_999) / 1_000_000))
            largest = max(largest ?? 0, min(units, CostReading.enormous))
        }
        return largest
    }
}
