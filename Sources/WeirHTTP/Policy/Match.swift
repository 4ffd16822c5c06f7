/// Which requests a rule is about: those that meet every condition. Empty conditions always hold.
public struct Match: Sendable {
    /// In upper case, whatever they are set to; HEAD counts as GET.
    public var methods: [String] = [] {
        didSet { methods = methods.map(Self.canonicalMethod) }
    }
    /// In lower case, whatever they are set to; without a port.
    public var hosts: [String] = [] {
        didSet { hosts = hosts.map { $0.lowercased() } }
    }
    public var paths: [PathPattern] = []
    public var headers: [(name: String, value: String?)] = []
    public var tiers: [String] = []
    public var addresses: [AddressRange] = []

    public init() {}

    /// A method in upper case. HEAD counts as GET.
    private static func canonicalMethod(_ method: String) -> String {
        let method = method.uppercased()
        return method == "HEAD" ? "GET" : method
    }

    /// Whether it has no condition.
    var isEverything: Bool {
        methods.isEmpty && hosts.isEmpty && paths.isEmpty && headers.isEmpty && tiers.isEmpty && addresses.isEmpty
    }

    /// - Parameters:
    ///   - methods: such as `GET`, which HEAD counts as; any if none is given.
    ///   - paths: as in a policy file: exact, with a `*` at its end, with `{name}` for a segment.
    /// - Throws: ``PolicyError`` when one of them isn't a path.
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
