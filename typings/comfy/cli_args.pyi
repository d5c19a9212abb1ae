class _Args:
    multi_user: bool

args: _Args
