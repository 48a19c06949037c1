def run(context):
    def hello(args, ctx):
        return {"message": f"Hello, {args.get('name', 'World')}!"}

    context["interface_registry"].register("service.hello", hello)
