/// What is known of a request's body when its cost is read.
public enum RequestBody: Sendable {
    case none
    /// It is longer than the policy's `body_limit`, or compressed.
    case unreadable
    case bytes([UInt8])

    func reading(_ pointer: JSONPointer, asLength: Bool) -> CostReading {
        switch self {
        case .none: .absent
        case .unreadable: .unreadable
        case .bytes(let bytes):
            bytes.isEmpty
                ? .absent : bytes.withUnsafeBytes { CostReading(json: pointer, in: $0, asLength: asLength) }
        }
    }
}
