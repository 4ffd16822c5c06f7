/// What a request must show to be limited, whatever its server's types are.
public protocol LimitableRequest {
    /// As sent, such as `GET`.
    var method: String { get }
    /// The request target as sent: a path with its query, or a whole URL.
    var target: String { get }
    /// The Host header or `:authority`.
    var host: String? { get }
    /// Calls `body` with every value of a header, in order. Names are compared without case.
    func forEachValue(of name: String, _ body: (String) -> Void)
}

extension LimitableRequest {
    /// A header's value when it is there exactly once: of two, nobody knows which one the app would believe.
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
