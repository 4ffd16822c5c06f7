import Weir

/// What a server's error means for the operations that met it.
enum ServerError: Hashable {
    /// The script isn't there; nothing was executed.
    case noScript
    /// The slot lies on another node; nothing was executed.
    case moved(slot: Int, host: String, port: Int)
    /// This key has gone over already; nothing was executed.
    case ask(host: String, port: Int)
    /// Not now; nothing was executed.
    case tryAgain
    /// The slot has no master for the moment; nothing was executed.
    case clusterDown
    /// This server may not write (any more): the master is another.
    case readOnly
    /// The password or user is wrong, or may not do this.
    case denied(String)
    case other(String)

    init(_ text: String) {
        let words = text.split(separator: " ")
        switch words.first {
        case "NOSCRIPT": self = .noScript
        case "MOVED", "ASK":
            guard words.count == 3, let slot = Int(words[1]), (0..<16384).contains(slot),
                let colon = words[2].lastIndex(of: ":"), let port = Int(words[2][words[2].index(after: colon)...]),
                (1...65535).contains(port)
            else {
                self = .other(text)
                return
            }
            let host = String(words[2][..<colon])
            self = words[0] == "MOVED" ? .moved(slot: slot, host: host, port: port) : .ask(host: host, port: port)
        case "TRYAGAIN", "LOADING", "BUSY": self = .tryAgain
        case "CLUSTERDOWN", "MASTERDOWN": self = .clusterDown
        case "READONLY": self = .readOnly
        case "NOAUTH", "WRONGPASS", "NOPERM": self = .denied(text)
        default:
            // A script that ran into one of these passes it on inside its own error.
            if text.contains("READONLY") {
                self = .readOnly
            } else if text.contains("invalid username-password") || text.contains("invalid password") {
                self = .denied(text)
            } else {
                self = .other(text)
            }
        }
    }

    /// The failure to report, in words that hold no key and no password.
    var failure: StoreFailure {
        switch self {
        case .noScript, .moved, .ask, .tryAgain: StoreFailure(.unavailable, "the server is busy with something else")
        case .clusterDown: StoreFailure(.unavailable, "the cluster is down")
        case .readOnly: StoreFailure(.refused, "the server is a read-only replica")
        case .other(let text) where text.contains("max number of clients"):
            StoreFailure(.unavailable, "the server has too many clients")
        case .denied(let text), .other(let text):
            StoreFailure(.refused, String(text.prefix(200).filter { !$0.isNewline }))
        }
    }
}
