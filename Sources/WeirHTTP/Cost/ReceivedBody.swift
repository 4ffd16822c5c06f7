/// A request's body, as the cost of the request is read from it.
public struct ReceivedBody: Sendable {
    package enum Kind: Sendable {
        case none
        case unreadable
        case bytes([UInt8])
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// The request has no body.
    public static let none = ReceivedBody(.none)
    /// The body is compressed, or longer than the policy's `body_limit`.
    public static let unreadable = ReceivedBody(.unreadable)
    /// The whole body.
    public static func bytes(_ bytes: [UInt8]) -> ReceivedBody { ReceivedBody(.bytes(bytes)) }

    /// Reads the value at a pointer.
    ///
    /// - Parameter body: turns a value that is there, and isn't null, into a cost.
    func reading(_ pointer: JSONPointer, _ body: (JSONProbe.Finding) -> CostReading) -> CostReading {
        switch kind {
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
