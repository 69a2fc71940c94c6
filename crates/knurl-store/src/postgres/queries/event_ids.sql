-- $1 how many. The first of them; they are nobody else's.
select knurl_event_ids($1)
