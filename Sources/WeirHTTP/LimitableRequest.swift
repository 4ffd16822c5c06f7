/// The parts of a request that limiting needs, independent of the server's types.
public protocol LimitableRequest {
    /// The method as sent, such as `GET`.
    var method: String { get }
    /// The request target as sent: a path with its query, or a whole URL.
    var target: String { get }
    /// The value of the Host header or of `:authority`; nil when there is none.
    var host: String? { get }
    /// Calls `body` with each value of a header, in order. Compare names without regard to case.
    func forEachValue(of name: String, _ body: (String) -> Void)
}

extension LimitableRequest {
    /// A header's value when it occurs exactly once. With two values, Weir can't know which one the app would use.
    package func onlyValue(of name: String) -> String? {
        var count = 0
        var value: String?
        forEachValue(of: name) {
            count += 1
            value = $0
        }
        return count == 1 ? value : nil
    }

    package func has(_ name: String) -> Bool {
        var found = false
        forEachValue(of: name) { _ in found = true }
        return found
    }
}
