-- $1 name
select knurl_total($1)
