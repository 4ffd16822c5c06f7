import Yams

/// Where something stands in a file, from 1.
struct Place: Sendable {
    var line: Int
    var column: Int
}

extension Node {
    var place: Place? { mark.map { Place(line: $0.line, column: $0.column) } }
}
