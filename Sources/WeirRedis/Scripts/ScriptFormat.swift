import Weir

/// The binary formats in which ``Batch`` and ``OperationScript`` talk to each other, and in which the script stores
/// states.
///
/// This is the only place with their numbers: Swift reads them here, and the Lua text is built from them. Stored
/// states and the instances of a rolling upgrade outlive a release, so a number here never changes its meaning; a new
/// format gets a new number. `ScriptFormatTests` pins every one of them byte for byte.
///
/// Letters stand for fields, as in Lua's `struct` library, all little-endian: `B` is one byte, `I2` and `I4` are
/// unsigned integers of two and four bytes, `d` is a double that holds a whole number, and `c8` is eight bytes as they
/// are.
/// A span or an instant of a bucket has up to three parts: `high` × 2^52 + `low` ticks, and `rest` ÷ n of a tick.
///
/// ## A call
///
/// `KEYS` has one key for each charge. A refund brings two more: its receipt's mark (`:` and the sequence in
/// hexadecimal) and the key's reset mark (`:x`). A reset brings the reset mark. A charge with ``Flag/countsHolds``, a
/// settlement and a hold's renewal bring the key of the holds (`:h`).
///
/// `ARGV[1]` is the ``Head``, followed by one ``Limit`` for each different limit of the batch:
///
/// | part | fields | content |
/// |---|---|---|
/// | head | `ddd` | time in µs, or below 0 for the server's; ms that a key outlives its use; µs of a permit's lease |
/// | limit, common | `BI4dI4d` | 1 if all spans are small; n; capacity's `low` and `rest`; most's `low` |
/// | limit, other | `BBdddI4d` | ``Kind``; alignment; period; `high` of capacity and most; most's `rest`; wait |
/// | limit, debt | `ddI4` | the furthest that debt may reach: `high`, `low`, `rest` |
///
/// `ARGV[2]` is the ``Operation``s, one after another:
///
/// | part | fields | when |
/// |---|---|---|
/// | code, flags, limit | `BBI2` | always: an ``OperationCode``, ``Flag``s and the limit's index |
/// | cost | `I4` | always |
/// | cost in ticks | `dI4` | a bucket's limit: `low`, `rest` |
/// | run length | `I2` | ``Flag/run``: how many keys the operation stands for |
/// | required | `I4` | without ``Flag/plain`` |
/// | more ticks | `dddI4` | without ``Flag/plain``, a bucket's limit: cost's `high`; required's `high`, `low`, `rest` |
/// | name | `c8` | a decision about a concurrency limit or with ``Flag/hold``, or a renewal: the charge's name |
/// | hold | `c8I4` | a settlement: the hold's name and units |
/// | receipt | `ddc8` | a refund: time, delay, sequence |
///
/// ## A reply
///
/// The time of the decisions (`d`), then one answer for each charge and each other operation:
///
/// | first byte | fields after it | meaning |
/// |---|---|---|
/// | 6 or 1 | as stored | an allowed and charged token bucket: its ``State`` before the charge |
/// | 8 and ``Status`` bits | `ddd` | everything else: three numbers of the state |
///
/// A decision with ``Flag/countsHolds`` adds the units that other requests hold (`d`).
///
/// ## A stored state
///
/// | version | fields | bytes | state |
/// |---|---|---|---|
/// | 1 | `dI4I4` | 17 | bucket: `low`, `rest`, n |
/// | 2 | `ddI4I4` | 25 | bucket: `high`, `low`, `rest`, n |
/// | 3 | `dI4` | 13 | fixed window: end, used |
/// | 4 | `dI4I4` | 17 | sliding window: when it expires, used now, used before |
/// | 5 | `dddI4` | 29 | the first element of a sliding log: sum, times of the last and first entry, last cost |
/// | 6 | `d` | 9 | bucket without `high` and `rest`: `low` |
/// | 7 | `ddI4I4` | 25 | bucket in debt: as 2 |
///
/// A sliding log is a list: the state above, then an entry (`dI4`: time, cost) for each instant. Permits are a sorted
/// set: each member is a charge's name and its cost (`c8I4`), scored with the end of its lease; the member `h` has the
/// score -1 - held. Held units are such a set, too; a hold that was charged when its lease ended has the score of that
/// end less 10^16, for an hour.
enum ScriptFormat {
    /// The bits of a count of ticks that are its `low` part; those above are its `high` part.
    static let lowBits = 52

    /// The start of a reply: the time of its decisions.
    static let replyTime = "d"

    /// The start of `ARGV[1]`.
    enum Head {
        static let fields = "ddd"
        static let length = 24
        /// The time that stands for the server's own.
        static let serverTime: Int64 = -1
    }

    /// A limit's numbers, in `ARGV[1]`.
    enum Limit {
        /// The numbers that the commonest operations need.
        static let commonFields = "BI4dI4d"
        static let commonLength = 25
        /// The numbers that all others need as well.
        static let otherFields = "BBdddI4dddI4"
        static let otherLength = 58
        static let length = commonLength + otherLength
        /// The first field of a token bucket whose spans, and sums of two of them, are below 2^52 ticks.
        static let small: UInt8 = 1
        /// The alignment of windows that begin with a key's first request.
        static let firstRequest: UInt8 = 1
    }

    /// An algorithm, as ``Limit`` has it. Buckets come first.
    enum Kind: UInt8 {
        case tokenBucket = 0
        case leakyBucket = 1
        case fixedWindow = 2
        case slidingWindow = 3
        case slidingLog = 4
        case concurrency = 5

        /// The last of the kinds that are decided in ticks.
        static let lastBucket = leakyBucket

        var isBucket: Bool { rawValue <= Self.lastBucket.rawValue }
    }

    /// The kinds of operations.
    enum OperationCode: UInt8 {
        case decide = 0
        case debit = 1
        case refund = 2
        case reset = 3
        case renew = 4
        case settle = 5
        case credit = 6
    }

    /// An operation's flags. The script tests bits by remainders, so their order matters.
    enum Flag {
        /// The limit counts, and denies nothing.
        static let shadow: UInt8 = 1
        /// A denied request is charged too.
        static let countsDenied: UInt8 = 2
        /// It is its request's last charge.
        static let last: UInt8 = 4
        /// The cost is all that is required, and its spans are below 2^52 ticks.
        static let plain: UInt8 = 8
        /// It stands for several keys that come up for the first time, all token buckets of the same numbers and cost.
        static let run: UInt8 = 16
        /// The key may have come up before in this call, and been written.
        static let seen: UInt8 = 32
        /// Requests under way may hold units of the limit, which count.
        static let countsHolds: UInt8 = 64
        /// The units are held instead of charged.
        static let hold: UInt8 = 128
    }

    /// An operation, in `ARGV[2]`.
    enum Operation {
        /// Where its flags are.
        static let flagsOffset = 1
        /// The code, the flags and the limit's index.
        static let headLength = 4
        static let cost = "I4"
        static let costTicks = "dI4"
        static let runLength = "I2"
        static let required = "I4"
        static let moreTicks = "dddI4"
        static let name = "c8"
        static let receipt = "ddc8"
        static let hold = "c8I4"
        /// A bucket's operation with ``Flag/plain``: also where a run's length begins.
        static let plainBucketLength = 20
    }

    /// The bits of an answer's first byte.
    enum Status {
        static let allowed: UInt8 = 1
        static let charged: UInt8 = 2
        /// Tells an answer of this form from a stored state, whose versions are smaller.
        static let answer: UInt8 = 8
        static let fields = "ddd"
        /// The held units, after the answer to a decision that counts them.
        static let held = "d"
    }

    /// A stored state: its first byte.
    enum State: UInt8 {
        case bucket = 1
        case longBucket = 2
        case fixedWindow = 3
        case slidingWindow = 4
        case log = 5
        case wholeBucket = 6
        case indebtedBucket = 7

        /// The fields after the version.
        var fields: String {
            switch self {
            case .bucket, .slidingWindow: "dI4I4"
            case .longBucket, .indebtedBucket: "ddI4I4"
            case .fixedWindow: "dI4"
            case .log: "dddI4"
            case .wholeBucket: "d"
            }
        }

        /// The bytes of all, the version included.
        var length: Int {
            switch self {
            case .wholeBucket: 9
            case .fixedWindow: 13
            case .bucket, .slidingWindow: 17
            case .longBucket, .indebtedBucket: 25
            case .log: 29
            }
        }
    }

    /// One instant of a sliding log.
    enum LogEntry {
        static let fields = "dI4"
        static let length = 12
    }

    /// The permits of a concurrency limit, and the holds of others.
    enum Permits {
        /// The member whose score tells how many are held.
        static let heldMember = "h"
        /// A member's cost, after the charge's name.
        static let cost = "I4"
        static let costOffset = 8
        /// Added to the end of a hold's lease, the score of a hold that was charged then.
        static let chargedMark = "-1e16"
    }

    /// The ending of the key of a key's holds.
    static let holdsKey = ":h"

    /// The most units that the holds of a key are taken for: products with them must be exact.
    static let mostHeld = 1 << 30 - 1

    /// How long the marks of refunds and resets are kept, in milliseconds.
    static let markLife = Receipt.life / 1000

    /// The ending of a key's reset mark.
    static let resetMark = ":x"

    /// The ending of a receipt's mark.
    static func refundMark(_ sequence: UInt64) -> String { ":\(String(sequence, radix: 16))" }
}

extension LimitNumbers {
    /// The script's name for the algorithm.
    var scriptKind: ScriptFormat.Kind {
        switch algorithm.kind {
        case .tokenBucket: .tokenBucket
        case .leakyBucket: .leakyBucket
        case .fixedWindow: .fixedWindow
        case .slidingWindow: .slidingWindow
        case .slidingLog: .slidingLog
        case .concurrency: .concurrency
        }
    }

    /// Whether the script decides in ticks.
    var isBucket: Bool { scriptKind.isBucket }
}

extension ScriptFormat.State {
    /// The first arguments of Lua's `pack`: the format of a whole state, and its version.
    var packing: String { "'<B\(fields)', \(rawValue)" }

    /// The first argument of Lua's `unpack`, behind the version.
    var unpacking: String { "'<\(fields)'" }

    /// The first argument of Lua's `unpack`, from the version.
    var unpackingWhole: String { "'<B\(fields)'" }

    /// A Lua condition: whether the text `value` is such a state.
    func matches(_ value: String) -> String { "byte(\(value), 1) == \(rawValue) and #\(value) == \(length)" }
}
