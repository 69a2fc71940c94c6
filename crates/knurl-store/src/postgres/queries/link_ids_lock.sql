-- Nobody creates links until the transaction ends.
lock table links in share row exclusive mode
