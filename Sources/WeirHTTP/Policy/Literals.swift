// For values that are written in code. Text that is known only at run time has initializers that fail or throw.

extension PathPattern: ExpressibleByStringLiteral {
    /// A pattern that is written in code.
    ///
    /// - Precondition: the text is a valid pattern. For other text, use ``RequestMatch/init(_:paths:)``.
    public init(stringLiteral text: String) {
        do throws(ValueError) {
            try self.init(text)
        } catch {
            preconditionFailure(error.description)
        }
    }
}

extension RequestMatch: ExpressibleByStringLiteral {
    /// A match of one path pattern that is written in code.
    ///
    /// - Precondition: the text is a valid pattern. For other text, use ``init(_:paths:)``.
    public init(stringLiteral text: String) {
        self.init()
        paths = [PathPattern(stringLiteral: text)]
    }

    /// Creates a match by methods and a path pattern that is written in code.
    ///
    /// - Parameters:
    ///   - methods: methods such as `GET`, which includes HEAD; any method if empty.
    ///   - path: a pattern as in a policy file.
    public init(_ methods: String..., path: PathPattern) {
        self.init()
        self.methods = methods
        paths = [path]
    }
}

extension IPAddressRange: ExpressibleByStringLiteral {
    /// A range that is written in code.
    ///
    /// - Precondition: the text is an address, an address with a prefix length, or `unix`. For other text, use
    ///   ``init(_:)``.
    public init(stringLiteral text: String) {
        guard let range = IPAddressRange(text) else { preconditionFailure("'\(text)' is not a range of addresses") }
        self = range
    }
}

extension JSONPointer: ExpressibleByStringLiteral {
    /// A pointer that is written in code.
    ///
    /// - Precondition: the text is a JSON pointer (RFC 6901). For other text, use ``init(_:)``.
    public init(stringLiteral text: String) {
        guard let pointer = JSONPointer(text) else { preconditionFailure("'\(text)' is not a JSON pointer") }
        self = pointer
    }
}
