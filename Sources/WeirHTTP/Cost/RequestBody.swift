/// A request's body, as the cost of the request is read from it.
public enum RequestBody: Sendable {
    /// The request has no body.
    case none
    /// The body is compressed, or longer than the policy's `body_limit`.
    case unreadable
    /// The whole body.
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
