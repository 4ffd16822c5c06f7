import Testing

@testable import WeirServer

/// The machine of an exchange, with strings for the upstream's connections. One event, one expected action a line.
private typealias Machine = Exchange.StateMachine<String>

@Suite("The phases of an exchange")
struct StateMachineTests {
    private func machine(_ framing: BodyFraming = .none, isSafeToRepeat: Bool = true) -> Machine {
        Machine(.init(framing: framing, isSafeToRepeat: isSafeToRepeat))
    }

    @Test("a request without a body passes, and its response reaches the client")
    func passes() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.responseHead(status: 200, from: "u") == .startResponse)
        #expect(machine.responseBody(from: "u") == .sendResponse)
        #expect(machine.responseEnded(from: "u") == .endResponse("u", isReusable: true))
        #expect(machine.clientLeft() == .nothing)
    }

    @Test("a body is sent on as it comes")
    func upload() {
        var machine = machine(.chunked)
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.bodyReceived(7) == .sendBody("u"))
        #expect(machine.bodyEnded() == .endRequest("u"))
        #expect(machine.responseHead(status: 204, from: "u") == .startResponse)
        #expect(machine.responseEnded(from: "u") == .endResponse("u", isReusable: true))
    }

    @Test("a response that ends before the body does leaves the upstream's connection unfit for another")
    func earlyAnswer() {
        var machine = machine(.chunked)
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.responseHead(status: 200, from: "u") == .startResponse)
        #expect(machine.responseEnded(from: "u") == .endResponse("u", isReusable: false))
    }

    @Test("a body is read for its cost, and then forwarded")
    func bodyCost() {
        var machine = machine(.length(10))
        #expect(machine.needsBody(atMost: 10) == .readBody)
        #expect(machine.bodyReceived(4) == .keep)
        #expect(machine.bodyReceived(6) == .keep)
        #expect(machine.bodyEnded() == .decide(by: .whole))
        #expect(machine.mustWait() == .wait)
        #expect(machine.answered() == .resume)
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.bodyEnded() == .nothing)
    }

    @Test("a body that finds no room in memory ends its request")
    func noRoom() {
        var machine = machine(.length(10))
        #expect(machine.needsBody(atMost: 10) == .readBody)
        #expect(machine.bodyReceived(4, hasRoom: true) == .keep)
        #expect(machine.bodyReceived(4, hasRoom: false) == .fail(.bodyMemoryFull, nil))
        #expect(machine.bodyReceived(4, hasRoom: true) == .nothing)
        #expect(machine.bodyEnded() == .nothing)
    }

    @Test("a request without a body is decided at once, and one whose length is too much is not read")
    func bodyCostWithoutReading() {
        var empty = machine(.none)
        #expect(empty.needsBody(atMost: 10) == .decide(by: .none))
        var long = machine(.length(11))
        #expect(long.needsBody(atMost: 10) == .decide(by: .tooLong))
    }

    @Test("a body of unknown length that turns out too long is not read further")
    func tooLong() {
        var machine = machine(.chunked)
        #expect(machine.needsBody(atMost: 10) == .readBody)
        #expect(machine.bodyReceived(10) == .keep)
        #expect(machine.bodyReceived(1) == .decide(by: .tooLong))
        let takesBody = machine.takesBody
        #expect(!takesBody)
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.bodyReceived(5) == .sendBody("u"))
    }

    @Test("a lookup and the store may both be waited for")
    func waits() {
        var machine = machine()
        #expect(machine.mustWait() == .wait)
        #expect(machine.answered() == .resume)
        #expect(machine.mustWait() == .wait)
        let question1 = machine.hasOpenQuestion
        #expect(question1)
        #expect(machine.answered() == .resume)
        let question2 = machine.hasOpenQuestion
        #expect(!question2)
        #expect(machine.denied() == .answer)
    }

    @Test("an answer that comes when the client has left is abandoned")
    func abandoned() {
        var machine = machine()
        #expect(machine.mustWait() == .wait)
        #expect(machine.clientLeft() == .release(nil))
        let question3 = machine.hasOpenQuestion
        #expect(question3)
        #expect(machine.answered() == .abandon)
        let question4 = machine.hasOpenQuestion
        #expect(!question4)
    }

    @Test("a delayed request is forwarded when its delay ends, and not when its client has left")
    func delayed() {
        var machine = machine()
        #expect(machine.mustDelay() == .startDelay)
        #expect(machine.delayEnded() == .connect(isNew: false))
        var left = self.machine()
        #expect(left.mustDelay() == .startDelay)
        #expect(left.clientLeft() == .release(nil))
        #expect(left.delayEnded() == .nothing)
    }

    @Test("a request that the upstream surely did not see is sent again, once")
    func repeats() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("old") == .forward("old"))
        #expect(machine.upstreamFailed("old", isReused: true) == .connect(isNew: true))
        #expect(machine.connected("new") == .forward("new"))
        #expect(machine.upstreamFailed("new", isReused: true) == .fail(.upstreamClosed, nil))
    }

    @Test("interim answers are passed on until there are too many")
    func interim() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.interimHead(status: 100, size: 1, from: "u") == .nothing)
        #expect(machine.interimHead(status: 103, size: 1, from: "other") == .nothing)
        for _ in 0..<99 { #expect(machine.interimHead(status: 103, size: 1, from: "u") == .sendInterim) }
        #expect(machine.interimHead(status: 103, size: 1, from: "u") == .fail(.upstreamInterim, "u"))
        var large = self.machine()
        #expect(large.passed() == .connect(isNew: false))
        #expect(large.connected("u") == .forward("u"))
        #expect(large.interimHead(status: 102, size: 65_536, from: "u") == .sendInterim)
        #expect(large.interimHead(status: 102, size: 1, from: "u") == .fail(.upstreamInterim, "u"))
        var upgrade = self.machine()
        #expect(upgrade.passed() == .connect(isNew: false))
        #expect(upgrade.connected("u") == .forward("u"))
        #expect(upgrade.interimHead(status: 101, size: 1, from: "u") == .fail(.upstreamInvalid, "u"))
        var late = self.machine()
        #expect(late.passed() == .connect(isNew: false))
        #expect(late.connected("u") == .forward("u"))
        #expect(late.responseHead(status: 200, from: "u") == .startResponse)
        #expect(late.interimHead(status: 103, size: 1, from: "u") == .nothing)
    }

    @Test("an answer that can't be read is not asked for again")
    func malformed() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(
            machine.upstreamFailed("u", isReused: true, because: .upstreamMalformed) == .fail(.upstreamMalformed, nil))
    }

    @Test("a request that changes something, has a body or was sent on a new connection is not sent again")
    func repeatsNot() {
        var post = machine(isSafeToRepeat: false)
        #expect(post.passed() == .connect(isNew: false))
        #expect(post.connected("u") == .forward("u"))
        #expect(post.upstreamFailed("u", isReused: true) == .fail(.upstreamClosed, nil))
        var upload = machine(.chunked)
        #expect(upload.passed() == .connect(isNew: false))
        #expect(upload.connected("u") == .forward("u"))
        #expect(upload.upstreamFailed("u", isReused: true) == .fail(.upstreamClosed, nil))
        var fresh = machine()
        #expect(fresh.passed() == .connect(isNew: false))
        #expect(fresh.connected("u") == .forward("u"))
        #expect(fresh.upstreamFailed("u", isReused: false) == .fail(.upstreamClosed, nil))
    }

    @Test("a response that breaks off is not ended for the client")
    func breaksOff() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.responseHead(status: 200, from: "u") == .startResponse)
        #expect(machine.upstreamFailed("u", isReused: true) == .abort(nil))
    }

    @Test("a status outside 200 to 599 is answered 502", arguments: [0, 100, 101, 199, 600, 999])
    func status(_ status: Int) {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.responseHead(status: status, from: "u") == .fail(.upstreamInvalid, "u"))
    }

    @Test("a head that can't be passed on is answered 502", arguments: [200, 999])
    func unfit(_ status: Int) {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(
            machine.responseHead(status: status, problem: .upstreamCoding, from: "u") == .fail(.upstreamCoding, "u"))
    }

    @Test("what another connection says is not taken for the upstream's answer")
    func otherUpstream() {
        var machine = machine()
        #expect(machine.passed() == .connect(isNew: false))
        #expect(machine.connected("u") == .forward("u"))
        #expect(machine.responseHead(status: 200, from: "other") == .nothing)
        #expect(machine.upstreamFailed("other", isReused: true) == .nothing)
        #expect(machine.responseHead(status: 200, from: "u") == .startResponse)
        #expect(machine.responseBody(from: "other") == .nothing)
        #expect(machine.responseEnded(from: "other") == .nothing)
    }

    @Test("a broken body ends a request, unless all of it has arrived")
    func brokenBody() {
        let problem = Problem.badRequest("x")
        var reading = machine(.chunked)
        #expect(reading.needsBody(atMost: 9) == .readBody)
        #expect(reading.bodyBroke(problem, bodyHasArrived: false) == .fail(problem, nil))
        var waiting = machine(.chunked)
        #expect(waiting.mustWait() == .wait)
        #expect(waiting.bodyBroke(problem, bodyHasArrived: true) == .nothing)
        #expect(waiting.bodyBroke(problem, bodyHasArrived: false) == .fail(problem, nil))
        var responding = machine(.chunked)
        #expect(responding.passed() == .connect(isNew: false))
        #expect(responding.connected("u") == .forward("u"))
        #expect(responding.responseHead(status: 200, from: "u") == .startResponse)
        #expect(responding.bodyBroke(problem, bodyHasArrived: false) == .abort("u"))
        var whole = machine(.none)
        #expect(whole.mustWait() == .wait)
        #expect(whole.bodyBroke(problem, bodyHasArrived: false) == .nothing)
    }

    @Test("a deadline blames the client while its request isn't whole, and the upstream afterwards")
    func deadlines() {
        var reading = machine(.chunked)
        #expect(reading.needsBody(atMost: 9) == .readBody)
        #expect(reading.deadlinePassed() == .fail(.requestTimeout, nil))
        var uploading = machine(.chunked)
        #expect(uploading.passed() == .connect(isNew: false))
        #expect(uploading.connected("u") == .forward("u"))
        #expect(uploading.deadlinePassed() == .fail(.requestTimeout, "u"))
        var forwarding = machine()
        #expect(forwarding.passed() == .connect(isNew: false))
        #expect(forwarding.connected("u") == .forward("u"))
        #expect(forwarding.deadlinePassed() == .fail(.upstreamTimeout, "u"))
        var responding = machine()
        #expect(responding.passed() == .connect(isNew: false))
        #expect(responding.connected("u") == .forward("u"))
        #expect(responding.responseHead(status: 200, from: "u") == .startResponse)
        #expect(responding.deadlinePassed() == .abort("u"))
    }

    // MARK: Every phase and every event

    enum Phase: CaseIterable {
        case deciding, readingBody, waiting, delayed, connecting, forwarding, responding, done
    }

    enum Event: CaseIterable {
        case needsBody, mustWait, answered, passed, mustDelay, delayEnded, denied, bodyReceived, bodyEnded, bodyBroke
        case connected, notConnected, upstreamFailed, responseHead, responseBody, responseEnded, deadlinePassed
        case clientLeft
    }

    private func machine(in phase: Phase) -> Machine {
        var machine = machine(.chunked)
        switch phase {
        case .deciding: break
        case .readingBody: _ = machine.needsBody(atMost: 9)
        case .waiting: _ = machine.mustWait()
        case .delayed: _ = machine.mustDelay()
        case .connecting: _ = machine.passed()
        case .forwarding:
            _ = machine.passed()
            _ = machine.connected("u")
        case .responding:
            _ = machine.passed()
            _ = machine.connected("u")
            _ = machine.responseHead(status: 200, from: "u")
        case .done: _ = machine.denied()
        }
        return machine
    }

    private func action(of event: Event, in phase: Phase) -> Machine.Action {
        var machine = machine(in: phase)
        return switch event {
        case .needsBody: machine.needsBody(atMost: 9)
        case .mustWait: machine.mustWait()
        case .answered: machine.answered()
        case .passed: machine.passed()
        case .mustDelay: machine.mustDelay()
        case .delayEnded: machine.delayEnded()
        case .denied: machine.denied()
        case .bodyReceived: machine.bodyReceived(1)
        case .bodyEnded: machine.bodyEnded()
        case .bodyBroke: machine.bodyBroke(.badRequest("x"), bodyHasArrived: false)
        case .connected: machine.connected("new")
        case .notConnected: machine.connected(nil)
        case .upstreamFailed: machine.upstreamFailed("u", isReused: false)
        case .responseHead: machine.responseHead(status: 200, from: "u")
        case .responseBody: machine.responseBody(from: "u")
        case .responseEnded: machine.responseEnded(from: "u")
        case .deadlinePassed: machine.deadlinePassed()
        case .clientLeft: machine.clientLeft()
        }
    }

    /// The actions that are not the usual ones of an event that comes at the wrong time.
    private let expected: [Phase: [Event: Machine.Action]] = [
        .deciding: [
            .needsBody: .readBody, .mustWait: .wait, .passed: .connect(isNew: false), .mustDelay: .startDelay,
            .denied: .answer, .bodyBroke: .fail(.badRequest("x"), nil), .clientLeft: .release(nil),
        ],
        .readingBody: [
            .bodyReceived: .keep, .bodyEnded: .decide(by: .whole), .bodyBroke: .fail(.badRequest("x"), nil),
            .deadlinePassed: .fail(.requestTimeout, nil), .clientLeft: .release(nil),
        ],
        .waiting: [
            .answered: .resume, .bodyBroke: .fail(.badRequest("x"), nil),
            .deadlinePassed: .fail(.requestTimeout, nil), .clientLeft: .release(nil),
        ],
        .delayed: [
            .delayEnded: .connect(isNew: false), .bodyBroke: .fail(.badRequest("x"), nil), .clientLeft: .release(nil),
        ],
        .connecting: [
            .connected: .forward("new"), .notConnected: .fail(.upstreamUnreachable, nil),
            .bodyBroke: .fail(.badRequest("x"), nil), .clientLeft: .release(nil),
        ],
        .forwarding: [
            .bodyReceived: .sendBody("u"), .bodyEnded: .endRequest("u"), .bodyBroke: .fail(.badRequest("x"), "u"),
            .upstreamFailed: .fail(.upstreamClosed, nil), .responseHead: .startResponse,
            .deadlinePassed: .fail(.requestTimeout, "u"), .clientLeft: .release("u"),
        ],
        .responding: [
            .bodyReceived: .sendBody("u"), .bodyEnded: .endRequest("u"), .bodyBroke: .abort("u"),
            .upstreamFailed: .abort(nil), .responseBody: .sendResponse,
            .responseEnded: .endResponse("u", isReusable: false), .deadlinePassed: .abort("u"),
            .clientLeft: .release("u"),
        ],
        .done: [:],
    ]

    @Test("each event has its action in each phase, and none at the wrong time", arguments: Phase.allCases)
    func everyEvent(_ phase: Phase) {
        for event in Event.allCases {
            let usual: Machine.Action =
                switch event {
                // A store's answer always comes, and a connection that nobody waits for must be closed.
                case .answered: .abandon
                case .connected: .close("new")
                default: .nothing
                }
            #expect(action(of: event, in: phase) == expected[phase]?[event] ?? usual, "\(event)")
        }
    }
}
