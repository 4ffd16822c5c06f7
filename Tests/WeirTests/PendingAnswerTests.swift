import Synchronization
import Testing
import Weir

@Suite("An answer that is waited for")
struct PendingAnswerTests {
    @Test("everybody who waits is told once, in the order in which they came, whoever came late at once")
    func many() {
        let answer = PendingAnswer<[String]>()
        let told = Mutex<[String]>([])
        func wait(_ name: String) {
            answer.whenComplete { value in told.withLock { $0.append("\(name): \(value)") } }
        }
        for name in ["a", "b", "c"] { wait(name) }
        #expect(told.withLock { $0.isEmpty })
        answer.complete(["first"])
        answer.complete(["second"])
        wait("late")
        #expect(told.withLock { $0 } == ["a", "b", "c", "late"].map { "\($0): [\"first\"]" })
    }

    @Test("tasks wait for it too, however many, before and after it comes")
    func tasks() async {
        let answer = PendingAnswer<Result<Int, StoreError>>()
        let values = await withTaskGroup(of: Int?.self) { tasks in
            for _ in 0..<50 { tasks.addTask { try? await answer.value.get() } }
            for _ in 0..<5 { await Task.yield() }
            answer.complete(.success(7))
            for _ in 0..<50 { tasks.addTask { try? await answer.value.get() } }
            return await tasks.reduce(into: []) { $0.append($1) }
        }
        #expect(values == Array(repeating: 7, count: 100))
    }
}
