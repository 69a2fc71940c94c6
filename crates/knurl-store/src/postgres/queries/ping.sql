-- A write, so that a server that only reads is found out.
select knurl_count('pings', 1)
