// Light, shadow and the camera's response, for fragment programs.
uniform sampler2D environment_map;
uniform sampler2DShadow shadow_map;
const int TAPS = 5;

vec3 ambient(vec3 normal) {
    vec3 n = to_environment(normal);
    vec3 sum = irradiance[0].rgb
        + irradiance[1].rgb * n.y + irradiance[2].rgb * n.z + irradiance[3].rgb * n.x
        + irradiance[4].rgb * (n.x * n.y) + irradiance[5].rgb * (n.y * n.z)
        + irradiance[6].rgb * (3.0 * n.z * n.z - 1.0)
        + irradiance[7].rgb * (n.x * n.z) + irradiance[8].rgb * (n.x * n.x - n.y * n.y);
    return max(sum, vec3(0.0));
}

// Share of the first light that reaches a point, from the shadow map. A point outside the map is lit.
float sunlight(vec3 position, vec3 normal) {
    vec4 q = shadow_matrix * vec4(position + normal * shadow_setup.z, 1.0);
    if (any(greaterThan(abs(q.xyz), vec3(0.995)))) return 1.0;
    vec3 at = q.xyz * 0.5 + 0.5;
    float step = shadow_setup.x / float(textureSize(shadow_map, 0).x);
    // Rotate the sampling pattern by pixel, so that wide penumbras show no bands.
    float turn = 6.2831853 * fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    float c = cos(turn), s = sin(turn), sum = 0.0;
    for (int k = 0; k < TAPS; k++) {
        float radius = sqrt((float(k) + 0.5) / float(TAPS)), angle = 2.3999632 * float(k);
        vec2 tap = radius * vec2(cos(angle), sin(angle));
        tap = vec2(c * tap.x - s * tap.y, s * tap.x + c * tap.y) * step;
        sum += texture(shadow_map, vec3(at.xy + tap, at.z));
    }
    return mix(1.0, sum / float(TAPS), shadow_setup.y);
}

float highlight(vec3 normal, vec3 view, vec3 light, float roughness) {
    vec3 h = normalize(view + light);
    float a2 = roughness * roughness;
    a2 *= a2;
    float nh = max(dot(normal, h), 0.0), lh = max(dot(light, h), 0.05);
    float d = nh * nh * (a2 - 1.0) + 1.0;
    return a2 / (4.0 * PI * d * d * lh * lh * (roughness + 0.5)) * PI;
}

float fresnel(float f0, float cosine) {
    float x = 1.0 - clamp(cosine, 0.0, 1.0), x2 = x * x;
    return f0 + (1.0 - f0) * x2 * x2 * x;
}

vec3 mirrored(vec3 view, vec3 normal, float roughness) {
    vec3 d = to_environment(reflect(-view, normal));
    return textureLod(environment_map, equirectangular(d), 1.0 + 6.0 * roughness).rgb * environment_axes[0].w;
}

// Approximates pow(x, 1 + more) for x and more from 0 to 1, in a tenth of the time.
vec3 deepened(float x, vec3 more) {
    return x * mix(vec3(1.0), vec3(x), more);
}

// Scene light to picture values: exposure, vignette, saturation and response curve.
vec3 respond(vec3 light) {
    vec2 off = (gl_FragCoord.xy - 0.5 * picture.xy) / (0.5 * length(picture.xy));
    vec3 x = light * response.rgb * (1.0 - response.w * dot(off, off));
    float grey = mix(dot(x, vec3(0.2126, 0.7152, 0.0722)), dot(x, vec3(0.75, 0.2, 0.05)), curve.w);
    x = max(mix(vec3(grey), x, curve.z), 0.0);
    vec3 f = x * 0.75;
    vec3 filmic = clamp(f * (2.51 * f + 0.03) / (f * (2.43 * f + 0.59) + 0.14), 0.0, 1.0);
    vec3 shoulder = x * (1.0 + x / 6.25) / (1.0 + x * 0.45);  // reaches 1 softly near 2.0
    x = clamp(mix(shoulder, filmic, curve.x), 0.0, 1.0);
    // The sRGB curve, approximated by square roots with an error of at most 0.004.
    vec3 root = sqrt(x), fourth = sqrt(root), eighth = sqrt(fourth);
    vec3 encoded = 0.662002687 * root + 0.684122060 * fourth - 0.323583601 * eighth - 0.0225411470 * x;
    return clamp(mix(vec3(0.45), encoded, curve.y), 0.0, 1.0);
}
