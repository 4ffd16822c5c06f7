/// Several JSON pointers as a tree, so that a scanner follows all of them at once.
final class JSONPointerTree: Sendable {
    struct Node: Sendable {
        var children: [(key: [UInt8], node: Int)] = []
        /// The pointers that end here.
        var pointers: [Int] = []
    }

    /// The first node is the root.
    let nodes: [Node]
    /// The number of pointers.
    let count: Int
    /// The longest key, in bytes.
    let longestKey: Int

    init(_ pointers: [JSONPointer]) {
        var nodes = [Node()]
        for (index, pointer) in pointers.enumerated() {
            var node = 0
            for token in pointer.tokens {
                if let child = nodes[node].children.first(where: { $0.key == token }) {
                    node = child.node
                } else {
                    nodes.append(Node())
                    nodes[node].children.append((token, nodes.count - 1))
                    node = nodes.count - 1
                }
            }
            nodes[node].pointers.append(index)
        }
        self.nodes = nodes
        count = pointers.count
        longestKey = pointers.flatMap { $0.tokens.map(\.count) }.max() ?? 0
    }

    /// The node under `node` for a key; nil if no pointer leads there.
    func child(of node: Int, _ key: [UInt8]) -> Int? {
        for child in nodes[node].children where child.key == key { return child.node }
        return nil
    }
}
