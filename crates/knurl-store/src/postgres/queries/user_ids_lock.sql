-- Nobody creates users until the transaction ends.
lock table users in share row exclusive mode
