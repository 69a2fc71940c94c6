-- $1 id: events and clicks from now on come after it. Returns the last id that was given, or may have been, before.
select knurl_event_ids_past($1)
