{#- Measures, their limits and closed lists, one definition for all models. -#}

{% macro flow_measures() %}
cast(sum(case when is_new_flow then 1 else 0 end) as bigint) as flows,
    cast(count(*) as bigint) as tuples,
    cast(sum(case when is_new_flow and decision = 'A' then 1 else 0 end) as bigint) as allowed,
    cast(sum(case when is_new_flow and decision = 'D' then 1 else 0 end) as bigint) as denied,
    cast(sum(case when is_new_flow and is_malicious then 1 else 0 end) as bigint) as malicious,
    cast(
        coalesce(sum(bytes_src_to_dst) + sum(bytes_dst_to_src), sum(bytes_src_to_dst), sum(bytes_dst_to_src))
        as bigint
    ) as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets
{% endmacro %}


{#- An hour is busy if more of its minutes than these have records: then one without is remarkable. -#}
{% macro busy_minutes() %}
  {{ return("30") }}
{% endmacro %}


{#- The encryption codes that Azure documents for VNet flow logs. -#}
{% macro known_encryption_codes() %}
  {{ return("'X', 'NX', 'NX_HW_NOT_SUPPORTED', 'NX_SW_NOT_READY', 'NX_NOT_ACCEPTED', 'NX_NOT_SUPPORTED', 'NX_LOCAL_DST', 'NX_FALLBACK', 'NX_ALL'") }}
{% endmacro %}
