{#- A summary's rows, the one for everything else included, hold each new flow and tuple once. -#}
{% test adds_up_to_merged_flows(model) %}

with summary as (

    select
        date,
        sum(flows) as flows,
        sum(tuples) as tuples,
        sum(allowed) as allowed,
        sum(denied) as denied,
        sum(malicious) as malicious,
        sum(coalesce(bytes, 0)) as bytes,
        sum(attempts) as attempts,
        sum(counted) as counted,
        sum(coalesce(counted_bytes, 0)) as counted_bytes
    from {{ model }}
    group by date

),

merged as (

    select
        date,
        sum(flows) as flows,
        sum(tuples) as tuples,
        sum(case when decision = 'A' then flows else 0 end) as allowed,
        sum(case when decision = 'D' then flows else 0 end) as denied,
        sum(malicious) as malicious,
        sum(coalesce(bytes_src_to_dst, 0) + coalesce(bytes_dst_to_src, 0)) as bytes,
        sum(attempts) as attempts,
        sum(counted) as counted,
        sum(coalesce(counted_bytes, 0)) as counted_bytes
    from {{ ref('merged_flows') }}
    group by date

)

select summary.*
from summary
full outer join merged
    on summary.date = merged.date
where
    summary.date is null
    or merged.date is null
    or summary.flows <> merged.flows
    or summary.tuples <> merged.tuples
    or summary.allowed <> merged.allowed
    or summary.denied <> merged.denied
    or summary.malicious <> merged.malicious
    or summary.bytes <> merged.bytes
    or summary.attempts <> merged.attempts
    or summary.counted <> merged.counted
    or summary.counted_bytes <> merged.counted_bytes

{% endtest %}
