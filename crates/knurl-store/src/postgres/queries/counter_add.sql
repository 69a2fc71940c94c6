-- $1 name, $2 difference
select knurl_count($1, $2)
