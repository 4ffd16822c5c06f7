/// The cost of a request.
public enum CostRule: Sendable {
    case fixed(Int64)
    case request(RequestCost, fallback: Int64, max: Int64?)
    case response(ResponseCost, reserve: Int64, fallback: Int64, max: Int64?)

    public enum RequestCost: Sendable, Hashable {
        case header(String)
        case query(String)
        case jsonLength(JSONPointer)
        case json(JSONPointer)

        var needsBody: Bool {
            switch self {
            case .header, .query: false
            case .json, .jsonLength: true
            }
        }
    }

    public enum ResponseCost: Sendable, Hashable {
        case status([Int: Int64])
        case header(String)
        /// A pointer into a JSON body, or into the last server-sent event that contains it.
        case json(JSONPointer)
    }
}
