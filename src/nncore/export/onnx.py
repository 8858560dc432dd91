def write(plan, stem):
    raise NotImplementedError
