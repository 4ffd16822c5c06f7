"""The examples' API as a FastAPI app without a line about limits: `weir serve` runs in front of it."""
import asyncio
import json

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

app = FastAPI()
state = {"ready": False}


def lengths(model: str, body: dict):
    return {"model": model, "outputs": [len(item) for item in body["inputs"]]}


@app.get("/health")
def health():
    return "ok"


@app.get("/ready")
def ready(response: Response):
    response.status_code = 200 if state["ready"] else 503
    return {"ready": state["ready"]}


@app.post("/loaded")
def loaded():
    state["ready"] = True
    return "ready"


@app.get("/model-info")
def info():
    return "a model that counts letters"


@app.post("/predict")
@app.post("/batch-predict")
@app.post("/models/light")
@app.post("/models/batch")
def predict(body: dict):
    return lengths("light", body)


@app.post("/premium/predict")
@app.post("/models/heavy")
def predict_large(body: dict):
    return lengths("heavy", body)


@app.post("/login")
def login(body: dict, response: Response):
    response.status_code = 200 if body.get("password") == "right" else 401
    return {"welcome": response.status_code == 200}


@app.post("/v1/chat/completions")
async def chat(body: dict):
    # An answer has at most four words, of a hundred tokens each.
    words = body["prompt"].split()[:4]
    tokens = 100 * len(words)
    usage = {"usage": {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}}
    if not body.get("stream"):
        return usage

    async def events():
        for word in words:
            yield f"data: {json.dumps({'text': len(word)})}\n\n"
            await asyncio.sleep(0)
        if body.get("include_usage"):
            yield f"data: {json.dumps(usage)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
