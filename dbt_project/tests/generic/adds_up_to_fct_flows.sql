{#- A summary's rows, the one for everything else included, hold each new flow and tuple once. -#}
{% test adds_up_to_fct_flows(model) %}

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

facts as (

    select
        date,
        sum(case when is_new_flow then 1 else 0 end) as flows,
        count(*) as tuples,
        sum(case when is_new_flow and decision = 'A' then 1 else 0 end) as allowed,
        sum(case when is_new_flow and decision = 'D' then 1 else 0 end) as denied,
        sum(case when is_new_flow and is_malicious then 1 else 0 end) as malicious,
        sum(coalesce(bytes_src_to_dst, 0) + coalesce(bytes_dst_to_src, 0)) as bytes,
        sum(case when is_attempt then 1 else 0 end) as attempts,
        sum(case when is_new_flow and is_counted then 1 else 0 end) as counted,
        sum(
            case
                when is_counted
                    then coalesce(bytes_src_to_dst, 0) + coalesce(bytes_dst_to_src, 0)
                else 0
            end
        ) as counted_bytes
    from {{ ref('fct_flows') }}
    group by date

)

select summary.*
from summary
full outer join facts
    on summary.date = facts.date
where
    summary.date is null
    or facts.date is null
    or summary.flows <> facts.flows
    or summary.tuples <> facts.tuples
    or summary.allowed <> facts.allowed
    or summary.denied <> facts.denied
    or summary.malicious <> facts.malicious
    or summary.bytes <> facts.bytes
    or summary.attempts <> facts.attempts
    or summary.counted <> facts.counted
    or summary.counted_bytes <> facts.counted_bytes

{% endtest %}
