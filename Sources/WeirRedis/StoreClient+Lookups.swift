import NIOCore
import Weir

extension StoreClient {
    func lookUp(_ client: String, in hash: HashLookup, for asker: UInt64) -> StoreAnswer<LookupAnswer> {
        let question = LookupCache.Question(hash: hash, client: client)
        switch lookups.look(up: question, for: asker, at: .now()) {
        case .answered(let answer): return .decided(answer)
        case .waits(let pending): return .pending(pending)
        case .asks(let pending):
            let key = hash.key(of: client)
            let command = hash.field.map { RESPCommand("HGET", key, $0) } ?? RESPCommand("EXISTS", key)
            send(command, key: key) { [lookups] result in
                var found: LookupAnswer?
                switch result {
                case .success(.string(let buffer)):
                    found = LookupAnswer(isKnown: true, value: String(buffer: buffer))
                case .success(.integer(let count)): found = LookupAnswer(isKnown: count > 0)
                case .success(.null): found = .unknown
                default: break
                }
                lookups.finish(question, found, for: asker, at: .now())
            }
            return .pending(pending)
        }
    }
}
