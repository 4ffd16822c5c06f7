"""The API that the tests protect: FastAPI, with nothing about limits in it."""
import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

app = FastAPI()
released = asyncio.Event()
state = {"active": 0, "cancelled": 0}


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/predict")
async def predict(body: dict):
    return {"outputs": [len(item) for item in body["inputs"]]}


@app.api_route("/echo/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
async def echo(request: Request, rest: str):
    body = await request.body()
    return {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.url.query,
        "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
        "length": len(body),
    }


@app.post("/sink")
async def sink(request: Request):
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
    return {"length": total}


@app.get("/events")
async def events():
    async def stream():
        yield "data: first\n\n"
        await released.wait()
        yield "data: second\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/release")
async def release():
    released.set()
    return {}


@app.get("/hold")
async def hold(request: Request):
    """Answers when released; counts those whose client went away."""
    state["active"] += 1
    try:
        while not released.is_set():
            if await request.is_disconnected():
                state["cancelled"] += 1
                return Response()
            await asyncio.sleep(0.01)
        return {"held": True}
    finally:
        state["active"] -= 1


@app.get("/state")
async def get_state():
    return state


@app.get("/usage/{tokens}")
async def usage(tokens: int):
    return JSONResponse({"usage": {"total_tokens": tokens}})


@app.get("/big/{length}")
async def big(length: int):
    async def stream():
        for start in range(0, length, 10_000):
            yield b"x" * min(10_000, length - start)

    return StreamingResponse(stream())


@app.get("/broken")
async def broken():
    async def stream():
        yield b"begun"
        raise RuntimeError("broken off")

    return StreamingResponse(stream(), headers={"Content-Length": "1000"})


@app.get("/status/{status}")
async def status(status: int):
    return Response(status_code=status)
