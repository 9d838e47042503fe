{{ config(materialized='view') }}

with flows as (

    select * from {{ ref('fct_flows') }} where not is_malicious

),

matches as (

    select * from {{ ref('threat_matches') }} where listed_from is not null

),

later_listed as (

    select
        flows.*,
        1 as end_no,
        matches.ip as listed_ip,
        matches.feed,
        matches.feed_rank,
        matches.entry,
        matches.listed_from,
        matches.listed_to,
        matches.threat_type as listed_threat_type,
        matches.is_listed_now,
        matches.feeds,
        matches.is_allow_listed,
        matches.allow_list_reason
    from flows
    inner join matches
        on flows.src_ip = matches.ip and flows.flow_time < matches.listed_from

    union all

    select
        flows.*,
        2 as end_no,
        matches.ip as listed_ip,
        matches.feed,
        matches.feed_rank,
        matches.entry,
        matches.listed_from,
        matches.listed_to,
        matches.threat_type as listed_threat_type,
        matches.is_listed_now,
        matches.feeds,
        matches.is_allow_listed,
        matches.allow_list_reason
    from flows
    inner join matches
        on flows.dst_ip = matches.ip and flows.flow_time < matches.listed_from

),

-- One row a flow: what listed it first; at the same time the source, the feed named first, and the
-- most specific entry.
ranked as (

    select
        *,
        row_number() over (
            partition by blob, record_no, flow_no, group_no, tuple_no
            order by
                listed_from asc,
                end_no asc,
                feed_rank asc,
                {{ prefix_bits_count('entry') }} desc
        ) as place
    from later_listed

)

select
    flow_time,
    date,
    hour,
    decision,
    direction,
    src_ip,
    dst_ip,
    src_port,
    dst_port,
    protocol,
    is_new_flow,
    bytes_src_to_dst,
    bytes_dst_to_src,
    rule,
    mac,
    listed_ip,
    feed as threat_feed,
    entry as threat_entry,
    listed_threat_type as threat_type,
    listed_from,
    listed_to,
    is_listed_now,
    feeds,
    is_allow_listed,
    allow_list_reason,
    blob,
    record_no,
    flow_no,
    group_no,
    tuple_no
from ranked
where place = 1
-- What was let in is what somebody has to look at; A stands before D.
order by
    decision asc, flow_time asc,
    blob asc, record_no asc, flow_no asc, group_no asc, tuple_no asc
