/// The conditions on requests that a rule applies to. A request must meet them all; empty conditions always hold.
public struct Match: Sendable {
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
    /// The headers that must be present, each with its value or nil for any value.
    public var headers: [(name: String, value: String?)] = []
    /// The tiers, one of which the client must have.
    public var tiers: [String] = []
    /// The address ranges, one of which must contain the client's address.
    public var addresses: [AddressRange] = []
    /// The values in the request's JSON body, for limits only: each a pointer and the texts, one of which must be
    /// there. A text with `*` at its end stands for all that begin so. A value that can't be relied on fits.
    public var json: [(pointer: JSONPointer, values: [String])] = []

    /// Creates a match without conditions, which matches every request.
    public init() {}

    /// The method in upper case. HEAD counts as GET.
    private static func canonicalMethod(_ method: String) -> String {
        let method = method.uppercased()
        return method == "HEAD" ? "GET" : method
    }

    /// Whether it has no conditions.
    var isEverything: Bool {
        methods.isEmpty && hosts.isEmpty && paths.isEmpty && headers.isEmpty && tiers.isEmpty && addresses.isEmpty
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
