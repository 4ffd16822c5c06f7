/// A route of an app, as its router names it.
public struct AppRoute: Sendable, Hashable, CustomStringConvertible {
    /// Such as `GET`.
    public var method: String
    /// Such as `/users/{id}`; `*` stands for any segment, `**` at the end for any number of them.
    public var template: String

    public init(_ method: String, _ template: String) {
        self.method = method
        self.template = template
    }

    public var description: String { "\(method) \(template)" }
}
