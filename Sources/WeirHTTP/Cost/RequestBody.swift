/// A request's body, as the cost of the request is read from it.
public enum RequestBody: Sendable {
    /// The request has no body.
    case none
    /// The body is compressed, or longer than the policy's `body_limit`.
    case unreadable
    /// The whole body.
    case bytes([UInt8])

    /// Reads the value at a pointer.
    ///
    /// - Parameter body: turns a value that is there, and isn't null, into a cost.
    func reading(_ pointer: JSONPointer, _ body: (JSONProbe.Finding) -> CostReading) -> CostReading {
        switch self {
        case .none: return .absent
        case .unreadable: return .unreadable
        case .bytes(let bytes):
            if bytes.isEmpty { return .absent }
            guard let finding = try? bytes.withUnsafeBytes({ try JSONProbe.find(pointer, in: $0) }) else {
                return .unreadable
            }
            switch finding {
            case .absent, .null: return .absent
            case .number, .length, .boolean: return body(finding)
            }
        }
    }
}
