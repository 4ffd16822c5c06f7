/// The conditions on requests that a rule applies to. A request must meet them all; empty conditions always hold.
public struct RequestMatch: Sendable, Hashable {
    /// A header that must be present.
    public struct Header: Sendable, Hashable {
        /// The header's name, compared without regard to case.
        public var name: String
        /// The value that one of its fields must have; nil for any value.
        public var value: String?

        /// Creates a condition on a header.
        ///
        /// - Parameters:
        ///   - name: the header's name.
        ///   - value: the value that one of its fields must have; nil for any value.
        public init(_ name: String, value: String? = nil) {
            self.name = name
            self.value = value
        }
    }

    /// A value that the request's JSON body must have.
    public struct Value: Sendable, Hashable {
        /// Where the value is.
        public var pointer: JSONPointer
        /// The texts, one of which must be there. A text with `*` at its end stands for all that begin so.
        public var values: [String]

        /// Creates a condition on a value.
        ///
        /// - Parameters:
        ///   - pointer: where the value is.
        ///   - values: the texts, one of which must be there.
        public init(_ pointer: JSONPointer, in values: [String]) {
            self.pointer = pointer
            self.values = values
        }
    }

    /// The methods, converted to upper case when set. HEAD counts as GET.
    public var methods: [String] = [] {
        didSet { methods = methods.map(Self.canonicalMethod) }
    }
    /// The hosts, converted to lower case when set, without ports.
    public var hosts: [String] = [] {
        didSet { hosts = hosts.map { $0.lowercased() } }
    }
    /// The path patterns, one of which must match.
    public var paths: [PathPattern] = []
    /// The headers that must be present.
    public var headers: [Header] = []
    /// The tiers, one of which the client must have.
    public var tiers: [String] = []
    /// The address ranges, one of which must contain the client's address.
    public var addresses: [IPAddressRange] = []
    /// The values in the request's JSON body, for limits only. A value that can't be relied on fits.
    public var json: [Value] = []

    /// Whether it matches no request at all.
    package private(set) var isNone = false

    /// A match for no request, for a limit that an app applies by its name only.
    public static let none: RequestMatch = {
        var match = RequestMatch()
        match.isNone = true
        return match
    }()

    /// Creates a match without conditions, which matches every request.
    public init() {}

    /// The method in upper case. HEAD counts as GET.
    private static func canonicalMethod(_ method: String) -> String {
        let method = method.uppercased()
        return method == "HEAD" ? "GET" : method
    }

    /// Whether it has no conditions.
    var isEverything: Bool {
        !isNone && methods.isEmpty && hosts.isEmpty && paths.isEmpty && headers.isEmpty && tiers.isEmpty
            && addresses.isEmpty
            && json.isEmpty
    }

    /// Creates a match by methods and paths.
    ///
    /// - Parameters:
    ///   - methods: methods such as `GET`, which includes HEAD; any method if empty.
    ///   - paths: patterns as in a policy file: exact, with a `*` at the end, or with `{name}` for a segment.
    /// - Throws: ``PolicyError`` when one of the paths isn't valid.
    public init(_ methods: String..., paths: String...) throws(PolicyError) {
        self.methods = methods.map(Self.canonicalMethod)
        for path in paths {
            do {
                self.paths.append(try PathPattern(path))
            } catch {
                throw PolicyError(error.description)
            }
        }
    }
}
