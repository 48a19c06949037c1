def run(input, context):
    return {"doubled": input["number"] * 2, "run": context.run_id is not None}
